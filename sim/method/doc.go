// Package method holds the KV-cache reduction methods, one file each, and the pipelines made of them.
//
// A method sees the prompt of one group of layers as the stages before it left it (cache.View) and
// returns a cache.Decision; it never attends and never sees a token that is decoded later (the bounds,
// which implement seer, excepted). To add one, write a file with a type that implements Method and
// register its Info in init: the parser, the lists, the sweep, the tables, the plots and the conformance tests read the
// registry.
//
//  1. param.go: how parameters are declared, once, with defaults, bounds and help.
//  2. registry.go: families, Info, Register and the look-ups; trait.go: what tests must be told of a method.
//  3. spec.go: the grammar of the command line, from text to pipelines.
//  4. method.go: the interfaces; fitter and learner for what is fitted on another text. capability.go: which method
//     may follow which, and what a cell must have.
//  5. pipeline.go: what a pipeline does in a cell; knob.go: how its size is set; observer.go where a method
//     must see all layers first, wrapper.go where one stands behind another of its kind.
//
// streamingllm.go is the shortest method with a decision of its own. Methods share: observation.go (scores by an
// observation window), probabilities.go (of prompt queries, one by one), topk.go (top-k selection), oneshot.go
// (eviction once, by keys and values alone), redecide.go (eviction anew while decoding), pagebounds.go (an index of
// pages), codec.go (formats of rows; values.go: of values apart, rotation.go: what is done before), sharedrows.go (heads and layers that read others' rows), linearfit.go (least
// squares, principal directions), rope.go (the rotary embedding taken back), vector.go and seed.go. A method of
// several files, as mla, rocketkv and lowrank, has its name before theirs.
package method
