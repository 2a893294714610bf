package trace

import (
	"math"
	"sync"

	"kvgauge/sim/kernel"
)

// A synthetic layer that caches latents has the parts of the others in other places: the shared key is a key of latent_rope
// channels, which says where attention goes, and the latent is a value of latent channels. Queries look for contents in
// both, each with half of the variance of the logits:
//
//	c_t      = c3 + C z_t + n
//	k_rope_t = as k_t
//	q_t      = (sqrt(1/2) B w_uk C y_t + n, as q_t, its content times sqrt(1/2))
//
// The weights are independent normal numbers, so that w_uk^T w_uk and w_uv^T w_uv are near to unit matrices, in f16 as a
// model's would be.

// width is the channels of a query: of a layer with latents those of the shared key besides.
func (a synthArgs) width() int {
	if a.isLatent() {
		return a.int("head_dim") + a.int("latent_rope")
	}
	return a.int("head_dim")
}

// isLatent says whether layers cache latents.
func (a synthArgs) isLatent() bool { return a["latent"] > 0 }

// rotated is the channels of a key that the rotary embedding turns.
func (a synthArgs) rotated() int {
	if a.isLatent() {
		return a.int("latent_rope")
	}
	return a.int("head_dim")
}

// parts are the parameters of a layer, of those of one with latents, whose keys are the shared ones and whose values are
// the latents.
func (a synthArgs) parts() synthArgs {
	scale := 1 / a.root()
	a["head_dim"], a["v_dim"], a["scale"] = a["latent_rope"], a["latent"], scale
	return a
}

// newUp draws the weights of a layer with latents.
func newUp(a synthArgs, layer int) *Up {
	up := &Up{}
	rank, nope, v := a.int("latent"), a.int("head_dim"), a.int("v_dim")
	draw := func(purpose uint64, h, rows, columns int, deviation float64) kernel.Rows {
		m := make([]float32, rows*columns)
		normals(m, a.headKey(purpose, layer, h))
		for i := range m {
			m[i] *= float32(deviation)
		}
		r := kernel.NewRows(kernel.F16, columns, rows)
		r.AppendRows(m)
		return r
	}
	for h := range a.int("q_heads") {
		up.K = append(up.K, draw(forUpK, h, rank, nope, math.Sqrt(1/float64(nope))))
		up.V = append(up.V, draw(forUpV, h, v, rank, math.Sqrt(1/float64(v))))
	}
	return up
}

// nopeWriter writes the part of a head's queries that reads the latents.
type nopeWriter struct {
	looks []float32   // [content][nope] w_uk C: what finds a direction of the content
	rows  [][]float32 // [group] of the queries that are read, [queries*nope]
	width int
}

// newNopeWriter makes room for n queries of each head.
func newNopeWriter(up *Up, kv *kvModel, rank, nope, n int) *nopeWriter {
	w := &nopeWriter{width: nope, looks: make([]float32, len(up.K)*rank*nope), rows: make([][]float32, len(up.K))}
	var all sync.WaitGroup
	for h := range up.K {
		w.rows[h] = make([]float32, n*nope)
		all.Go(func() { find(kv.values, numbers(up.K[h], false), nope, w.looks[h*rank*nope:(h+1)*rank*nope]) })
	}
	all.Wait()
	return w
}

// find writes to looks [content][nope] the products of directions [content][latent] with m [latent][nope]: in plain
// arithmetic, so that a trace does not depend on the kernels.
func find(directions, m []float32, nope int, looks []float32) {
	latent, sum := len(m)/nope, make([]float64, nope)
	for j := range len(looks) / nope {
		clear(sum)
		for r, x := range directions[j*latent : (j+1)*latent] {
			for c, y := range m[r*nope : (r+1)*nope] {
				sum[c] += float64(x) * float64(y) // exact: no rounding that fusing would save
			}
		}
		for c, x := range sum {
			looks[j*nope+c] = float32(x)
		}
	}
}

// write writes the i-th query of head j, which looks for z [content] with a strength; noise is the key of its own.
func (w *nopeWriter) write(j, i int, z []float32, strength float64, noise uint64) {
	q := w.rows[j][i*w.width : (i+1)*w.width]
	normals(q, noise)
	for c := range q {
		q[c] *= nopeNoise
	}
	looks := w.looks[j*len(z)*w.width:]
	for n, x := range z {
		by := float32(strength) * x
		for c, y := range looks[n*w.width : (n+1)*w.width] {
			q[c] += float32(by * y)
		}
	}
}

// nopeNoise is the standard deviation of a channel.
const nopeNoise = 0.1

// joinedLatents makes of the parts of a layer the rows as they are cached and read.
func (l *Layer) joinedLatents(w *nopeWriter, tokens int, up *Up) *Layer {
	out := &Layer{K: [][]float32{joined(l.V[0], l.K[0], tokens)}, V: l.V, FirstQuery: l.FirstQuery}
	queries := tokens - l.FirstQuery
	for h, rows := range l.Q {
		if queries == 0 {
			out.Q = append(out.Q, nil)
			continue
		}
		out.Q = append(out.Q, joined(w.rows[h], rows, queries))
	}
	if queries > 0 {
		out.Up = up
	}
	return out
}
