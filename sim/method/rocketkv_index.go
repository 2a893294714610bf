package method

import (
	"math"
	"slices"

	"kvgauge/sim/cache"
	"kvgauge/sim/kernel"
)

// rocketSelector reads the entries with the best estimates.
type rocketSelector rocketPlan

// PerQueryHead is false: one set per KV head.
func (rocketSelector) PerQueryHead() bool { return false }

// Index makes one without chunks.
func (s rocketSelector) Index(heads, group, dim, longest int) cache.Index {
	chunks := (longest + s.chunk - 1) / s.chunk
	stride := (chunks + 15) &^ 15
	x := &rocketIndex{
		rocketSelector: s, heads: make([]rocketHead, heads), group: group, dim: dim, chunks: chunks,
		weight: make([]float32, dim), room: make([]float32, max(dim, longest)), channels: make([]int32, 0, dim),
		line: make([]float32, chunks), stride: stride, estimates: make([]float32, group*stride), cool: make([]float32, group), mean: make([]float32, chunks),
		entries: make([]float32, longest), largest: make([]float32, 1), inverse: []float32{1},
	}
	for j := range x.heads {
		x.heads[j].high = make([]uint16, dim*chunks)
		if s.chunk > 1 {
			x.heads[j].low = make([]uint16, dim*chunks)
		}
	}
	return x
}

// rocketIndex holds the bounds of the chunks, channel after channel, so that a step reads those of the
// channels that it scores.
type rocketIndex struct {
	rocketSelector
	heads []rocketHead

	group, dim, chunks int
	weight, room       []float32 // scratch: [channel]
	channels           []int32
	line, mean         []float32 // scratch: [chunk]
	estimates          []float32 // scratch: [query head of the group][stride]
	cool               []float32 // scratch: [query head of the group]
	stride             int
	entries            []float32 // scratch: [entry]
	largest, inverse   []float32
}

// rocketHead is one stored head's part.
type rocketHead struct {
	high, low []uint16 // [channel][chunk] binary16; low is nil where a chunk is one entry
	n         int      // entries
}

// Append widens the bounds of a head's last chunk, or starts one.
func (x *rocketIndex) Append(head int, key []float32) {
	h := &x.heads[head]
	c, fresh := h.n/x.chunk, h.n%x.chunk == 0
	h.n++
	for d, k := range key {
		at := d*x.chunks + c
		v := kernel.Half(k)
		if fresh || k > kernel.Float(h.high[at]) {
			h.high[at] = v
		}
		if h.low != nil && (fresh || k < kernel.Float(h.low[at])) {
			h.low[at] = v
		}
	}
}

// held is how many chunks a head holds.
func (x *rocketIndex) held(h *rocketHead) int { return (h.n + x.chunk - 1) / x.chunk }

// Select reads the top entries of each head, all of them where there are no more.
func (x *rocketIndex) Select(r *cache.Reading) {
	if !slices.ContainsFunc(x.heads, func(h rocketHead) bool { return h.n > x.top }) {
		r.All = true
		return
	}
	for j := range x.heads {
		h := &x.heads[j]
		x.score(h, r.Q[j*x.group*x.dim:(j+1)*x.group*x.dim])
		r.Bytes += int64(len(x.channels)*x.held(h)) * 2
		entries := x.entries[:h.n]
		for i := range entries {
			entries[i] = x.mean[i/x.chunk]
		}
		r.Selected[j] = appendTopK(entries, x.top, x.room, r.Selected[j])
	}
}

// score estimates the probability of the entries of each chunk, as the mean over the group's queries q. The
// channels are those with the largest sum of |q| over the group; of a chunk's bounds in a channel the one counts
// that the sum of q points to. An estimate's temperature makes up for the channels that are left out.
func (x *rocketIndex) score(h *rocketHead, q []float32) {
	n := x.held(h)
	magnitudes(x.weight, q)
	x.channels = appendTopK(x.weight, x.width, x.room, x.channels[:0])
	clear(x.estimates)
	line := x.line[:n]
	for g := range x.group {
		x.cool[g] = x.temperature(q[g*x.dim : (g+1)*x.dim])
	}
	for _, d := range x.channels {
		kernel.Floats(line, x.bounds(h, q, int(d))[:n])
		for g := range x.group {
			kernel.Axpy(x.cool[g]*q[g*x.dim+int(d)], line, x.estimates[g*x.stride:g*x.stride+n])
		}
	}
	mean := x.mean[:n]
	clear(mean)
	for g := range x.group {
		estimate := x.estimates[g*x.stride : g*x.stride+n]
		x.largest[0] = slices.Max(estimate)
		kernel.Probabilities(estimate, x.largest, x.inverse)
		var sum float64
		for c, p := range estimate {
			sum += float64(p) * float64(min(x.chunk, h.n-c*x.chunk))
		}
		kernel.Axpy(float32(1/sum), estimate, mean)
	}
}

// temperature is what a query's estimates are multiplied by: the logits of the chosen channels stand for those of
// all.
func (x *rocketIndex) temperature(q []float32) float32 {
	var all, chosen float64
	for _, v := range q {
		all += float64(abs(v))
	}
	for _, d := range x.channels {
		chosen += float64(abs(q[d]))
	}
	if chosen == 0 {
		return 1
	}
	return float32(math.Sqrt(all / chosen))
}

// bounds are those of a channel that the group's queries point to, by chunk.
func (x *rocketIndex) bounds(h *rocketHead, q []float32, d int) []uint16 {
	bounds := h.high
	if h.low != nil && sumOver(q, x.dim, d) <= 0 {
		bounds = h.low
	}
	return bounds[d*x.chunks : (d+1)*x.chunks]
}

// Bytes is what the bounds of the chunks take.
func (x *rocketIndex) Bytes() int64 {
	var n int64
	for j := range x.heads {
		h := &x.heads[j]
		n += 2 * int64(x.dim*x.held(h))
		if h.low != nil {
			n += 2 * int64(x.dim*x.held(h))
		}
	}
	return n
}

// Buffers is the bounds of the chunks.
func (x *rocketIndex) Buffers(dst [][]byte) [][]byte {
	for j := range x.heads {
		dst = append(dst, kernel.Memory(x.heads[j].high), kernel.Memory(x.heads[j].low))
	}
	return dst
}

// CopyFrom copies the bounds.
func (x *rocketIndex) CopyFrom(o cache.Index) {
	for j, from := range o.(*rocketIndex).heads {
		copy(x.heads[j].high, from.high)
		copy(x.heads[j].low, from.low)
		x.heads[j].n = from.n
	}
}

// magnitudes writes the sum of |q| over a group's queries, by channel.
func magnitudes(dst, q []float32) {
	clear(dst)
	for ; len(q) > 0; q = q[len(dst):] {
		for d := range dst {
			dst[d] += abs(q[d])
		}
	}
}

// sumOver is that of channel d over a group's queries.
func sumOver(q []float32, dim, d int) (sum float32) {
	for ; d < len(q); d += dim {
		sum += q[d]
	}
	return sum
}
