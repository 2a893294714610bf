package kernel

import (
	"encoding/binary"
	"math"
)

// Balanced groups of rows have their channels and their tokens brought to one spread before they are quantised (KVarN,
// 2606.03458). With codes of channel scales, A and B of a channel and s of a token,
//
//	x = (code*A + B) * s
//
// and with codes of token scales A and B belong to the token and s to the channel.

// balanceRounds is how often the spreads of channels and tokens are evened out, one after the other.
const balanceRounds = 8

// Balanced is the format of groups of rows that are balanced and then quantised along each channel or along each token.
func Balanced(bits int, alongChannels bool) *Blocks {
	b := Codes(bits)
	b.balanced, b.Scale = true, HalfMin
	if alongChannels {
		b.Scale = HalfScale
	}
	return b
}

// balanceRoom is how many floats appendBalanced needs for n rows of dim channels.
func balanceRoom(n, dim int) int { return n*dim + 5*(n+dim) }

// appendBalanced balances Tokens further rows, quantises them and reports whether the format could hold all of it.
func (r *Rows) appendBalanced(rows, room []float32) (finite bool) {
	b, n, dim := r.Blocks, r.Tokens, r.width
	t := newBalancer(rows, n, dim, room)
	alongChannels := b.Scale == HalfScale
	t.balance(!alongChannels)

	start, at := len(r.Data), len(r.Scale)
	r.Data, r.Scale = grow(r.Data, n*r.stride), grow(r.Scale, dim)
	clear(r.Data[start:])
	if len(r.ends) > 0 {
		r.ends = append(r.ends, int32(r.own()))
	}
	levels, codes := float64(len(b.Table)-1), codeBytes(b.Bits, dim)
	row := func(i int) []byte { return r.Data[start+i*r.stride : start+(i+1)*r.stride] }
	finite = true
	half := func(x float32) uint16 {
		u := Half(x)
		finite = finite && finite16(u)
		return u
	}
	if alongChannels {
		r.Min = grow(r.Min, dim)
		for c := range dim {
			least, most, _ := extent(t.x[c:], dim)
			step := max((most-least)/float32(levels), 1e-10)
			for i := range n {
				putCode(row(i)[:codes], b.Bits, c, dim, byte(quantise((t.x[i*dim+c]-least)/step, 0, levels)))
			}
			r.Scale[at+c], r.Min[at+c] = half(t.channels[c]*step), half(t.channels[c]*least)
		}
		for i, s := range t.tokens {
			binary.LittleEndian.PutUint16(row(i)[codes:], half(s))
		}
		return finite
	}
	for i := range n {
		xs := t.x[i*dim : (i+1)*dim]
		least, most, _ := extent(xs, 1)
		step := max((most-least)/float32(levels), 1e-10)
		b.encodeBlock(row(i)[:codes], dim, 0, xs, step, least, 0)
		binary.LittleEndian.PutUint16(row(i)[codes:], half(t.tokens[i]*step))
		binary.LittleEndian.PutUint16(row(i)[codes+2:], half(t.tokens[i]*least))
	}
	for c, s := range t.channels {
		r.Scale[at+c] = half(s)
	}
	return finite
}

// balancer is a group of n rows on their way to be quantised: y/(tokens*channels) = x.
type balancer struct {
	dim              int
	y, x             []float32 // [n][dim]
	tokens, channels []float32 // factors of the best round
	logs             [2][]float32
	spreads          [2][]float32
	room             []float32 // [dim] sums
}

// newBalancer takes the rows and memory of balanceRoom floats.
func newBalancer(rows []float32, n, dim int, room []float32) balancer {
	take := func(k int) []float32 {
		part := room[:k:k]
		room = room[k:]
		clear(part)
		return part
	}
	return balancer{
		dim: dim, y: rows, x: take(n * dim), tokens: take(n), channels: take(dim),
		logs: [2][]float32{take(n), take(dim)}, spreads: [2][]float32{take(n), take(dim)}, room: take(dim),
	}
}

// balance finds the factors and divides by them. In each round the spreads of one axis are measured and divided
// out, then those of the other; of all rounds the most even is kept, of equal ones the later.
func (t *balancer) balance(channelsFirst bool) {
	best := math.Inf(1)
	order := [2]int{0, 1}
	if channelsFirst {
		order = [2]int{1, 0}
	}
	t.divide(t.logs[0], t.logs[1])
	for range balanceRounds {
		for _, axis := range order {
			t.measure(axis)
			for i, s := range t.spreads[axis] {
				l := t.logs[axis][i] + float32(math.Log(float64(max(1e-3, min(1e3, s)))))
				t.logs[axis][i] = max(-0.3, min(10, l))
			}
			t.divide(t.logs[0], t.logs[1])
		}
		if uneven := t.uneven(0) + t.uneven(1); uneven <= best {
			best = uneven
			copy(t.tokens, t.logs[0])
			copy(t.channels, t.logs[1])
		}
	}
	t.divide(t.tokens, t.channels)
	for _, logs := range [][]float32{t.tokens, t.channels} {
		for i, l := range logs {
			logs[i] = float32(math.Exp(float64(l)))
		}
	}
}

// divide sets x to y without the factors whose logarithms are given.
func (t *balancer) divide(tokens, channels []float32) {
	for c, l := range channels {
		t.room[c] = float32(math.Exp(-float64(l)))
	}
	for i, l := range tokens {
		f := float32(math.Exp(-float64(l)))
		for c, y := range t.y[i*t.dim : (i+1)*t.dim] {
			t.x[i*t.dim+c] = y * f * t.room[c]
		}
	}
}

// measure sets the spreads of an axis, 0 for tokens and 1 for channels: standard deviations with n-1.
func (t *balancer) measure(axis int) {
	lines, count, step, next := len(t.tokens), t.dim, 1, t.dim
	if axis == 1 {
		lines, count, step, next = t.dim, len(t.tokens), t.dim, 1
	}
	for i := range lines {
		var sum, squares float64
		for k := range count {
			sum += float64(t.x[i*next+k*step])
		}
		mean := sum / float64(count)
		for k := range count {
			d := float64(t.x[i*next+k*step]) - mean
			squares += d * d
		}
		t.spreads[axis][i] = float32(math.Sqrt(squares / float64(max(1, count-1))))
	}
}

// uneven is the largest spread of an axis over the smallest.
func (t *balancer) uneven(axis int) float64 {
	t.measure(axis)
	least, most, _ := extent(t.spreads[axis], 1)
	return float64(most) / float64(max(least, 1e-8))
}
