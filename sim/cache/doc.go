// Package cache holds the stored KV of one group of layers: what a method decided (Decision) applied to
// the rows it saw (View), the buffers that result (Store), their bytes, and attention over them.
//
// It is the only place that attends, so that every method is measured by the same code. A method
// returns Decisions; Build makes a Store of the last View of a pipeline; the decode loop appends to it
// and attends. Start with view.go and decision.go, then store.go. map.go is for rows that are stored in another
// shape from the first token to the last, prompt.go for prompts that are stored otherwise than what follows;
// policy.go and redecide.go hold what evicts entries while decoding, select.go what reads selected ones, codec.go how
// rows are written.
package cache
