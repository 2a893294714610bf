// Package record is the contract between a measurement and everything that reads it: what a cell of a run
// measured, under which names, and the folder that keeps it. It knows nothing of methods, traces or reports, so
// that each can change without the others.
//
//   - record.go: a Record, one line of records.jsonl; key.go: which records are of the same cell.
//   - figures.go: every figure of a record with its unit, direction and range. CSV, tables, comparison, the check
//     of what is read, means over windows and external results go by it.
//   - folder.go: the output folder, written and gone on with; load.go and check.go: read back; merge.go: joined.
//   - manifest.go: run.json, what a run was asked for and where it ran.
//   - pipeline.go: the grammar of a pipeline's name.
//   - input.go: errors of what was asked for or given, told from failures.
package record
