// Package kernel is the arithmetic on rows that attention is made of: how rows are stored, online-softmax
// attention over them at their storage precision, batch forms for a prompt, rotary embedding, and the
// float64 forms that errors are measured against. It knows nothing of caches, methods or traces.
//
// A decode step runs so:
//
//  1. Rows (format.go, rows.go, encode.go) hold the keys, or the values, of one stored head. Formats that are a
//     table of values with a scale a block (blocks.go) share one decoder, and may keep a sketch of what the codes
//     leave (sketch.go); the latest rows may wait to be packed (window.go).
//  2. Attend (attend.go) goes through a chunk of them in blocks: score, soften, weigh.
//  3. Each of the three is one call of the active path (path.go): portable Go, which is the specification
//     (block_generic.go), or assembly for AVX2 or AVX-512 (block_amd64.go) or NEON (path_arm64.go).
//  4. Chunks run on the threads of a Pool (pool.go); Merge combines them in the order of their indices, so
//     that the result does not depend on the threads.
//
// batch.go and shares.go hold the forms for many queries, exact.go the float64 reference, limits.go what a machine
// can do at best. The assembly of amd64 is written by the program in _generate.
package kernel

//go:generate go -C _generate run . ..
