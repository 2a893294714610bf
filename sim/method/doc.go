// Package method holds the KV-cache reduction methods, one file each, and the pipelines made of them.
//
// A method sees the prompt of one group of layers as the stages before it left it (cache.View) and
// returns a cache.Decision; it never attends and never sees a token that is decoded later (the bounds,
// which implement Seer, excepted). To add one, write a file with a type that implements Method and
// register its Info in init: the parser, the lists, the sweep, the tables and the plots read the registry.
//
//  1. param.go: how parameters are declared, once, with defaults, bounds and help.
//  2. registry.go: Info, Register and the look-ups; family.go: which families there are, in which order.
//  3. spec.go: the grammar of the command line, from text to pipelines.
//  4. method.go: the interfaces; Fitter and Learner for what is fitted on another text.
//  5. pipeline.go: what a pipeline does in a cell; knob.go: how its size is set; observer.go where a method
//     must see all layers first, wrapper.go where one stands behind another of its kind.
//
// streamingllm.go is the shortest method with a decision of its own; window.go, padded.go, topk.go, columns.go and
// shares.go are shared by those that score the prompt by attention, oneshot.go by those that look at keys and values
// alone.
package method
