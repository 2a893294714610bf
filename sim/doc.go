// Package sim is the experiment: it replays traces through pipelines of KV-cache reduction methods and
// measures cache bytes, attention-output error and latency. Each file uses only files that stand before it here.
//
// What is to be measured:
//
//	external.go   results that were made elsewhere; external_file.go: read and checked
//	options.go    what a run was asked for
//	cell.go       a Cell: trace x pipeline x sequence length; a Plan: a list of them
//	external_cell.go   which results a cell and its windows are given
//	view.go       the rows of a trace as methods and stores are handed them
//	shard.go      which cells are whose, where several machines share a plan
//	memory.go     what cells need: bytes, and multiplications
//	plan.go       NewPlan: which cells there are, and why some do not apply
//
// What a cache takes that nobody fills:
//
//	size.go       the bytes of a cell's caches, by its shapes and parameters
//	shapes.go     the shapes of a model, as those of a trace
//	model_file.go a model, as a file describes it
//	capacity_search.go   what fits into a memory
//	capacity.go   Capacities: a model's caches, as an engine holds them
//
// How it is measured:
//
//	rows.go       the row cache: layers of a trace, read once where they fit in memory
//	reference.go  float64 attention over the unreduced trace, once per trace and length
//	mass.go       the softmax mass that was attended
//	accuracy.go   outputs against the reference
//	proof.go      a trace held against its model's own outputs; proof_fit.go: metadata that
//	              come nearest to them, proof_cause.go: what would explain a difference
//	doubts.go     what of a trace's rows and outputs gives pause, or refuses it
//	machine.go    the testbed that steps are timed on
//	latency.go    samples of decode steps beside those of the full cache
//	tally.go      bytes of the stores
//	calibrate.go  the texts that maps are fitted on
//	replay.go     one cell: the prompt is reduced, the last tokens are decoded, layer by layer
//	target.go     the knob of a cell, set to a number of bytes
//	windows.go    means over prefixes
//	result.go     from what a replay gives to a Record
//	sweep.go      Load, Size, Run: a plan becomes records
//	curve.go, trial.go, forecast.go   how long it will take
//
// Words: a step is one decoded token; a group of layers shares one store; full is the unreduced f16 cache; the
// reference is exact attention over it; a knob is the parameter that sets a cache's size; a window of a cell is one of
// the prefixes that it averages; a testbed is the machine with its roofline and a way to empty its caches.
package sim
