// Package kernel is the arithmetic on rows that attention is made of: dot products, online-softmax
// attention over half-precision rows, rotary embedding, and the float64 forms that errors are measured
// against. It knows nothing of caches, methods or traces.
//
// Start with attend.go, the decode kernel. half.go converts precisions, dot.go holds the inner loops,
// exact.go the float64 reference, rope.go the rotation, pool.go the threads.
package kernel
