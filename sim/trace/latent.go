package trace

import (
	"fmt"
	"io"
	"slices"

	"kvgauge/sim/kernel"
	"kvgauge/sim/record"
)

// A latent layer (DeepSeek-AI 2024, arXiv:2405.04434, section 2.1) caches one row for all of its heads: a latent c of Rank
// channels and the shared part k_rope of the keys, which the rotary embedding turns. The key of head h is (w_uk[h] c, k_rope)
// and its value w_uv[h] c. Serving stacks cache that row and read it as it is: the query, projected by the transpose of
// w_uk[h], scores it, and w_uv[h] projects the weighted sum of latents.

// Up is how the heads of a latent layer make their keys and values of a latent, the numbers as the file has them.
type Up struct {
	K []kernel.Rows // [q_head] w_uk transposed: [rank] rows of nope channels
	V []kernel.Rows // [q_head] w_uv: [v_dim] rows of rank channels
}

// Latent says whether the layer caches latents.
func (a *Attention) Latent() bool { return a.Rank > 0 }

// Nope is how many channels of a query, the first, meet the part of a latent layer's keys that comes of the latent.
func (a *Attention) Nope() int { return a.QKDim - a.SharedDim }

// KeyDim is the channels of a row that is cached as a key: of a latent layer c and k_rope beside each other, of another
// those of the query.
func (a *Attention) KeyDim() int {
	if a.Latent() {
		return a.Rank + a.SharedDim
	}
	return a.QKDim
}

// ValueDim is the channels that are weighed and summed: of a latent layer those of c, which the key begins with.
func (a *Attention) ValueDim() int {
	if a.Latent() {
		return a.Rank
	}
	return a.VDim
}

// KernelRope is the rotary embedding of the rows that are cached. Of a latent layer the last channels are rotated.
func (a *Attention) KernelRope() kernel.Rope {
	r := kernel.Rope{InvFreq: a.Rope.InvFreq, GPTJ: a.Rope.Style == "gptj"}
	if a.Latent() {
		r.First = a.KeyDim() - a.Rope.Dims
	}
	return r
}

// latentShape takes the shape of the i-th layer, which is latent.
func (h *Header) latentShape(i int, tensors map[string]tensor) error {
	a, of := &h.Attention[i], fmt.Sprintf("layers.%d.", h.Layers[i])
	for _, kind := range []string{"k", "v"} {
		if _, ok := tensors[of+kind]; ok {
			return fmt.Errorf("tensor %s: beside %s%s, want k and v of a layer, or c, k_rope, w_uk and w_uv", latentOf(tensors, h.Layers[i]), of, kind)
		}
	}
	// The latent says how many channels the weights take, these how many a query has.
	for _, t := range []struct {
		kind string
		want func() frame
		take func(shape []int)
	}{
		{"c", func() frame { return frame{h.Tokens, 0} }, func(s []int) { h.Tokens, a.Rank = s[0], s[1] }},
		{"k_rope", func() frame { return frame{h.Tokens, 0} }, func(s []int) { a.SharedDim = s[1] }},
		{"w_uk", func() frame { return frame{0, 0, a.Rank} }, func(s []int) { a.QHeads, a.QKDim = s[0], s[1]+a.SharedDim }},
		{"w_uv", func() frame { return frame{a.QHeads, 0, a.Rank} }, func(s []int) { a.VDim = s[1] }},
		{"q", func() frame { return frame{h.Queries, a.QHeads, a.QKDim} }, func(s []int) { h.Queries = s[0] }},
	} {
		name := of + t.kind
		x, ok := tensors[name]
		if !ok {
			return fmt.Errorf("tensor %s: missing, want q, c, k_rope, w_uk and w_uv of a latent layer", name)
		}
		if rowBytes[x.dtype] == 0 {
			return fmt.Errorf("tensor %s: dtype %s, want %s", name, printable(x.dtype), rowDtypes)
		}
		if err := t.want().checkAs(x.shape, latentAxes[t.kind]); err != nil {
			return fmt.Errorf("tensor %s: %w", name, err)
		}
		t.take(x.shape)
	}
	a.KVHeads = 1
	switch {
	case a.QKDim > maxHeadDim:
		return fmt.Errorf("tensor %sw_uk: %d channels with those of k_rope, want at most %d", of, a.QKDim, maxHeadDim)
	case a.KeyDim() > maxHeadDim:
		return fmt.Errorf("tensor %sc: %d channels with those of k_rope, want at most %d", of, a.KeyDim(), maxHeadDim)
	case h.Queries > h.Tokens:
		return fmt.Errorf("tensor %sq: %d queries, want at most the %d rows of c", of, h.Queries, h.Tokens)
	}
	return nil
}

// latentAxes name the axes of a latent layer's tensors.
var latentAxes = map[string][]axis{
	"c":      {rowAxis, {"rank", maxHeadDim}},
	"k_rope": {rowAxis, {"rope", maxHeadDim}},
	"w_uk":   {headAxis, {"nope", maxHeadDim}, {"rank", maxHeadDim}},
	"w_uv":   {headAxis, {"v_dim", maxHeadDim}, {"rank", maxHeadDim}},
	"q":      rowAxes,
}

// readLatents fills in the rows of a latent layer: c and k_rope beside each other as its one head's keys, c alone as its
// values.
func (c *container) readLatents(of string, l *Layer, tokens int) error {
	latents, err := c.rows(of+"c", 0, 0, tokens)
	if err != nil {
		return err
	}
	shared, err := c.rows(of+"k_rope", 0, 0, tokens)
	if err != nil {
		return err
	}
	l.K, l.V = [][]float32{joined(latents[0], shared[0], tokens)}, latents
	return nil
}

// readUp reads the weights of a latent layer.
func (c *container) readUp(of string) (*Up, error) {
	keys, err := c.weights(of+"w_uk", true)
	if err != nil {
		return nil, err
	}
	values, err := c.weights(of+"w_uv", false)
	return &Up{K: keys, V: values}, err
}

// joined puts n rows of a and b beside each other.
func joined(a, b []float32, n int) []float32 {
	wa, wb := len(a)/n, len(b)/n
	out := make([]float32, 0, len(a)+len(b))
	for i := range n {
		out = append(append(out, a[i*wa:(i+1)*wa]...), b[i*wb:(i+1)*wb]...)
	}
	return out
}

// formatOf is the format that holds the numbers of a dtype as they are.
var formatOf = map[string]kernel.Format{"F32": kernel.F32, "F16": kernel.F16, "BF16": kernel.BF16}

// weights reads a tensor [heads, rows, columns] as one matrix a head, whose rows are those of the tensor or its columns.
func (c *container) weights(name string, transposed bool) ([]kernel.Rows, error) {
	x := c.tensors[name]
	heads, rows, columns := x.shape[0], x.shape[1], x.shape[2]
	r, err := x.open()
	if err != nil {
		return nil, within("tensor", name, cause(err))
	}
	defer r.Close()
	matrices := make([]kernel.Rows, heads)
	buf, m := make([]byte, rows*columns*rowBytes[x.dtype]), make([]float32, rows*columns)
	for h := range matrices {
		if _, err := io.ReadFull(r, buf); err != nil {
			return nil, fmt.Errorf("tensor %s: head %d: %w", name, h, cause(err))
		}
		if i := toFloat32(m, buf, x.dtype); i >= 0 {
			return nil, fmt.Errorf("tensor %s: head %d: row %d: column %d: %v, want a finite number", name, h, i/columns, i%columns, m[i])
		}
		matrices[h] = upRows(m, columns, transposed, formatOf[x.dtype])
	}
	return matrices, nil
}

// upRows is a matrix m [rows][columns], or its transpose, in a format that holds its numbers.
func upRows(m []float32, columns int, transposed bool, f kernel.Format) kernel.Rows {
	rows := len(m) / columns
	if transposed {
		t := make([]float32, 0, len(m))
		for c := range columns {
			for r := range rows {
				t = append(t, m[r*columns+c])
			}
		}
		m, rows, columns = t, columns, rows
	}
	out := kernel.NewRows(f, columns, rows)
	out.AppendRows(m)
	return out
}

// numbers are those of a head's matrix, [rows][columns], as a file has it.
func numbers(of kernel.Rows, transposed bool) []float32 {
	m := make([]float32, of.Len()*of.Dim)
	for i := range of.Len() {
		of.Row(i, m[i*of.Dim:(i+1)*of.Dim])
	}
	if !transposed {
		return m
	}
	t := make([]float32, 0, len(m))
	for c := range of.Dim {
		for r := range of.Len() {
			t = append(t, m[r*of.Dim+c])
		}
	}
	return t
}

// latentOf is a tensor of a layer that only latent ones have, "" where there is none.
func latentOf(tensors map[string]tensor, layer int) string {
	for _, kind := range latentTensors {
		name := fmt.Sprintf("layers.%d.%s", layer, kind)
		if _, ok := tensors[name]; ok {
			return name
		}
	}
	return ""
}

// isLatent says whether a container holds a latent layer of a number.
func isLatent(tensors map[string]tensor, layer int) bool { return latentOf(tensors, layer) != "" }

// latentItems lists the tensors of a latent layer but its queries.
func (t *Trace) latentItems(a *Attention, dtype string, add func(kind string, shape []int, write func(io.Writer, string, *Layer) error)) {
	part := func(kind string, lo, hi int) { // of a cached row
		add(kind, []int{t.Tokens, hi - lo}, func(w io.Writer, name string, l *Layer) error {
			rows := make([]float32, 0, t.Tokens*(hi-lo))
			for at := 0; at < len(l.K[0]); at += a.KeyDim() {
				rows = append(rows, l.K[0][at+lo:at+hi]...)
			}
			return writeRows(w, name, dtype, [][]float32{rows}, hi-lo, 0)
		})
	}
	weights := func(kind string, rows int, transposed bool, of func(*Up) []kernel.Rows) {
		add(kind, []int{a.QHeads, rows, a.Rank}, func(w io.Writer, name string, l *Layer) error {
			return writeWeights(w, name, dtype, of(l.Up), a.Rank, transposed)
		})
	}
	part("c", 0, a.Rank)
	part("k_rope", a.Rank, a.KeyDim())
	weights("w_uk", a.Nope(), true, func(u *Up) []kernel.Rows { return u.K })
	weights("w_uv", a.VDim, false, func(u *Up) []kernel.Rows { return u.V })
}

// writeWeights writes the matrices of all heads, as weights reads them.
func writeWeights(w io.Writer, name, dtype string, matrices []kernel.Rows, columns int, transposed bool) error {
	for h := range matrices {
		m := numbers(matrices[h], transposed)
		buf := make([]byte, len(m)*rowBytes[dtype])
		if i := fromFloat32(buf, m, dtype); i >= 0 {
			return record.Input(fmt.Errorf("tensor %s: head %d: row %d: column %d: %v is beyond %s", name, h, i/columns, i%columns, m[i], dtype))
		}
		if _, err := w.Write(buf); err != nil {
			return err
		}
	}
	return nil
}

// Reading returns, in float64, the queries of a head for n tokens from one on as they read the rows that the layer caches,
// [n*KeyDim]: of a latent layer the part without rotation is projected by w_uk, which stands between them.
func (l *Layer) Reading(a *Attention, head, token, n int) []float64 {
	q := l.Q[head][(token-l.FirstQuery)*a.QKDim:][:n*a.QKDim]
	out := make([]float64, n*a.KeyDim())
	if !a.Latent() {
		for i, x := range q {
			out[i] = float64(x)
		}
		return out
	}
	nope := make([]float32, 0, n*a.Nope())
	for row := range slices.Chunk(q, a.QKDim) {
		nope = append(nope, row[:a.Nope()]...)
	}
	absorbed := kernel.DotsExact(nope, a.Nope(), 1, numbers(l.Up.K[head], false))
	for i := range n {
		row := out[i*a.KeyDim() : (i+1)*a.KeyDim()]
		copy(row, absorbed[i*a.Rank:(i+1)*a.Rank])
		for c, x := range q[i*a.QKDim+a.Nope() : (i+1)*a.QKDim] {
			row[a.Rank+c] = float64(x)
		}
	}
	return out
}

// Output returns what a head puts out, [n*VDim], of weighted sums of the values that the layer caches, [n*ValueDim].
func (l *Layer) Output(a *Attention, head int, sums []float64) []float64 {
	if !a.Latent() {
		return sums
	}
	return kernel.DotsExact(sums, a.Rank, 1, numbers(l.Up.V[head], false))
}
