// Package model is the forward pass of a language model from its checkpoint: what attention traces are captured from, and
// what decodes on the caches that methods leave.
//
// A checkpoint becomes a trace so:
//
//  1. Open (open.go) reads config.json (config.go, fields.go) or the header of a llama2.c file (llama2c.go), and finds
//     the tensors (checkpoint.go). What a family of models has unlike the others is in a file of its own (llama.go,
//     qwen.go, gemma.go, ...), which fills in a Config; rope.go has the rotary embeddings, shapes.go the tensors that a
//     Config asks for. Everything but the values of weights is checked here, before memory is taken.
//  2. Prefill (prefill.go) takes the tokens through one layer after the other, whose weights are read as they are stored
//     (weights.go), in blocks: projections (attention.go), then the MLP (mlp.go) or experts (experts.go).
//  3. Capture (capture.go) writes each layer's queries, keys, values and outputs as they are made.
//
// Decoder (decoder.go) takes one token at a time through all layers, over a cache.Store of each.
//
// Package tokenizer makes tokens of text.
//
// Everything is computed in float32, whatever the weights are stored in, as transformers does where it is asked for
// float32. Weights are kernel.Rows: a format that these can hold needs no more than a reader.
package model
