// Package kernel is the arithmetic on rows that attention is made of: how rows are stored, online-softmax
// attention over them at their storage precision, batch forms for a prompt, rotary embedding, and the
// float64 forms that errors are measured against. It knows nothing of caches, methods or traces.
//
// A decode step runs so:
//
//  1. Rows (format.go, rows.go, encode.go) hold the keys, or the values, of one stored head. Formats that are a
//     table of values with a scale a block (blocks.go) share one encoder, which makes codes of many values at a time
//     (codes.go), and one decoder, and kernels read most of them where they
//     lie (attend_reader_amd64.go, unscaled.go). They may keep a sketch of what the codes leave (sketch.go); the latest
//     rows may stay in a residual window (residual.go).
//  2. Attend (attend.go) goes through a chunk of them in blocks: score, online softmax, weighted sum.
//  3. Each of the three is one call of the active path (path.go): the reference in portable Go (attend_generic.go),
//     or assembly for AVX2 or AVX-512 (attend_amd64.go) or NEON (attend_arm64.go).
//     Where a head's Rule (rule.go) is more than a scale, bend.go makes its logits between the first two.
//  4. Chunks run on the threads of a Pool (pool.go); Merge combines them in the order of their indices, so
//     that the result does not depend on the threads.
//
// linear.go multiplies activations with the weights of a model. batch.go and probabilities.go hold the forms for many
// queries, exact.go the float64 reference, roofline.go what a machine can do at best, matrix.go the products of float64
// matrices that fits and spectra are made of.
//
// The files of a family of kernels have one prefix (attend, cacheflush, codes, exact, linear, matrix, path, roofline, vector). Each
// says in its first comment which role it has: shared (what all paths use), dispatch (which path runs, and which of its
// kernels), assembly (a kernel, or its stub, which has the loop) or reference (portable Go that the assembly must
// equal). The assembly of amd64 is written by the program in _generate.
//
// # Glossary
//
//	row               the key or the value of one token in one head; its numbers are channels
//	code, scale, min  what a quantised number is stored as, and what its block shares: scale*code + min
//	pack              codes of less than a byte put together in bytes (packing.go)
//	block             64 rows, one step of the online softmax; in Blocks, the channels that share a scale
//	chunk             at most 1024 rows, the work of one thread, which ends as a Partial
//	tile              a block of rows by some queries, computed together
//	online softmax    softmax of one pass: the largest logit so far, and sums relative to it (FlashAttention)
//	rescale           multiply earlier sums by exp(old max - new max), when a block has a larger logit
//	bend              make logits of scaled products by a head's rule: soft cap, slope, window, chunk
//	hidden            of a key that a query does not read: its logit is minus infinity
//	weighted sum      values times probabilities, the output of attention
//	probabilities     the softmax of a query's logits
//	rotate            apply the rotary embedding (Rope) to a row; a RopeTable does so for many rows
//	key shift         rotation of stored keys by one distance more at every step (K-shift in llama.cpp)
//	Hadamard          the transform that spreads a large channel over its block; its inverse undoes it
//	gather            copy selected rows next to each other; attend selected: attention over them alone
//	residual window   the latest rows, in binary16 until they are quantised (KIVI)
//	flush             quantise the oldest rows of the residual window
//	cache flush       drop memory from the processor's caches, before a step is timed
//	evict             take rows out and close the gaps
//	balance           bring channels and tokens of a group of rows to one spread (KVarN)
//	sketch            signs of random projections of what codes leave of a row (QJL)
//	strip             eight rows of a float64 matrix, read side by side
//	roofline          the machine's best rates of reading and of multiply-adds
package kernel

//go:generate go -C _generate run . ..
