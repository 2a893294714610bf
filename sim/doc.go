// Package sim is the experiment: it replays traces through pipelines of KV-cache reduction methods and
// measures cache bytes, attention-output error and latency.
//
//  1. plan.go: traces x lengths x pipelines become cells, each of which runs or has a reason why not.
//     memory.go and forecast.go (by trial.go) say what they will need; target.go sets their knobs in an equal-bytes run;
//     external.go reads results that were made elsewhere.
//  2. run.go: cells run one at a time, in plan order; each gives a Record (record.go).
//  3. reference.go: float64 attention over the unreduced trace, once per trace and length.
//  4. replay.go: one cell's prompt is reduced and its last tokens are decoded, layer by layer; errors.go
//     compares the outputs with the reference. windows.go averages over prefixes.
//  5. latency.go: each group's store as the error pass gets to it, flushed from the caches and timed against full's.
//  6. folder.go: the output folder, whose records survive an interrupted run.
package sim
