package trace

import "math"

// synthChunk is how many tokens share one table of rotations.
const synthChunk = 512

// rotations are the cosines and sines of consecutive tokens, [token][pair].
type rotations struct {
	cos, sin []float32
}

// newRotations computes those of n tokens from the first.
func newRotations(freq []float64, first, n int) rotations {
	r := rotations{make([]float32, n*len(freq)), make([]float32, n*len(freq))}
	for i := range n {
		for p, w := range freq {
			sin, cos := math.Sincos(float64(first+i) * w)
			r.sin[i*len(freq)+p], r.cos[i*len(freq)+p] = float32(sin), float32(cos)
		}
	}
	return r
}

// turn rotates the row of the i-th token, neox halves.
func (r rotations) turn(row []float32, i int) {
	half := len(row) / 2
	lo, hi := row[:half], row[half:]
	cos, sin := r.cos[i*half:(i+1)*half], r.sin[i*half:(i+1)*half]
	for p, x := range lo {
		y := hi[p]
		lo[p] = float32(x*cos[p]) - float32(y*sin[p])
		hi[p] = float32(x*sin[p]) + float32(y*cos[p])
	}
}

// writer writes the rows of one KV head of one layer and of the query heads that read it.
type writer struct {
	synth  *synth
	layer  int
	head   int // KV head
	kv     *kvModel
	first  int         // query head
	heads  []headModel // of the group
	needle planted

	content *field
	topic   *drifting
	search  []*drifting // [group]
	z, y    []float32   // [rank] scratch
}

// newWriter draws what the rows of a head have in common.
func (s *synth) newWriter(m *layerModel, layer, g int) *writer {
	a, group := s.args, s.args.int("q_heads")/s.args.int("kv_heads")
	rank := a.rankOf()
	drifts := func(purpose uint64, head int) *drifting {
		return newDrifting(newField(keyed(s.text, purpose, uint64(head)), layer, a["layer_similarity"], rank), a["drift"])
	}
	w := &writer{
		synth: s, layer: layer, head: g, kv: &m.kv[g], first: g * group, heads: m.heads[g*group : (g+1)*group],
		needle:  plant(s.plan, layer, g, 2*len(m.kv[g].needles)),
		content: newField(keyed(s.text, forContent, uint64(g)), layer, a["layer_similarity"], rank),
		topic:   drifts(forTopic, g),
		z:       make([]float32, rank), y: make([]float32, rank),
	}
	for h := range w.heads {
		w.search = append(w.search, drifts(forSearch, w.first+h))
	}
	return w
}

// noise is the key of a row's own noise.
func (w *writer) noise(purpose uint64, head, token int) uint64 {
	return keyed(w.synth.text, purpose, uint64(w.layer), uint64(head), uint64(token))
}

// write fills in the rows of the i-th token of a chunk.
func (w *writer) write(l *Layer, r rotations, i, token int) {
	d := w.synth.args.int("head_dim")
	row := func(rows []float32) []float32 { return rows[token*d : (token+1)*d] }
	w.topic.draw(w.y, token)
	w.content.draw(w.z, uint64(token))
	blend(w.z, w.y, float32(math.Sqrt(1-topicShare)), float32(math.Sqrt(topicShare)))
	k := row(l.K[w.head])
	w.key(k, token)
	r.turn(k, i)
	w.keyAfter(k, token)
	w.value(row(l.V[w.head]), token)
	for j := range w.heads {
		w.query(row(l.Q[w.first+j]), r, i, j, token)
	}
}

// sinks says whether token 0 of the layer is an attention sink.
func (w *writer) sinks(token int) bool { return token == 0 && w.layer > 0 }

// key writes a key before its rotation.
func (w *writer) key(k []float32, token int) {
	normals(k, w.noise(forNoiseK, w.head, token))
	for c := range k {
		k[c] *= keyNoise
	}
	if _, ok := w.needle.keys[token]; ok {
		return
	}
	share := float32(1)
	if w.sinks(token) {
		share = sinkKey
	}
	for c, b := range w.kv.bias {
		k[c] += float32(share * keyLocal * b)
	}
	for j, c := range w.kv.content {
		k[c] += float32(share * keyContent * w.z[j])
	}
}

// keyAfter adds what a key has independent of its position.
func (w *writer) keyAfter(k []float32, token int) {
	half, last := len(k)/2, len(k)/2-1
	sink, heavy := float32(-keyGlobal), float32(-keyGlobal*(1-heaviness(w.synth.text, token)))
	if w.sinks(token) {
		sink = 0
	}
	code, ok := w.needle.keys[token]
	if ok {
		heavy = -keyGlobal
		k[w.kv.needles[code/2]] += keyNeedle * sign(code)
	}
	s := w.kv.sink
	k[last] += float32(sink*s[0]) - float32(heavy*s[1])
	k[last+half] += float32(sink*s[1]) + float32(heavy*s[0])
}

// value writes a value.
func (w *writer) value(v []float32, token int) {
	normals(v, w.noise(forNoiseV, w.head, token))
	rank := len(w.z)
	for c := range v {
		x := float32(valueNoise*v[c]) + w.kv.valueBias[c]
		for j, b := range w.kv.values[c*rank : (c+1)*rank] {
			x += float32(b * w.z[j])
		}
		v[c] = x
	}
	if w.sinks(token) {
		for c := range v {
			v[c] *= sinkValue
		}
	}
}

// query writes the query of the group's j-th head. w.y holds the topic.
func (w *writer) query(q []float32, r rotations, i, j, token int) {
	head, dim := w.heads[j], float64(len(q))
	root, rank := math.Sqrt(dim), float64(len(w.y))
	even := math.Log(float64(token+1)) + head.content*head.content/2
	local := head.local * even * root / keyLocal
	content := head.content * root / (keyContent * math.Sqrt(rank))
	sink, heavy := head.sink*even*root/keyGlobal, head.heavy*root/keyGlobal
	code, asks := w.needle.queries[token]
	if asks {
		local, content, sink, heavy = local*askingShare, content*askingShare, sink*askingShare, heavy*askingShare
	}
	energy := local*local + content*content*rank + sink*sink + heavy*heavy
	rho := w.synth.args["query_similarity"]
	noise := float32(math.Sqrt(energy * (1 - rho) / rho / dim))
	normals(q, w.noise(forNoiseQ, w.first+j, token))
	for c, b := range w.kv.bias {
		q[c] = float32(noise*q[c]) + float32(float32(local)*b)
	}
	y := w.z
	w.search[j].draw(y, token)
	blend(y, w.y, math.Sqrt2/2, math.Sqrt2/2)
	for n, c := range w.kv.content {
		q[c] += float32(float32(content) * y[n])
	}
	r.turn(q, i)
	half, last := len(q)/2, len(q)/2-1
	s := w.kv.sink
	q[last] += float32(float32(sink)*s[0]) - float32(float32(heavy)*s[1])
	q[last+half] += float32(float32(sink)*s[1]) + float32(float32(heavy)*s[0])
	if asks {
		q[w.kv.needles[code/2]] += float32(even*root/keyNeedle) * sign(code)
	}
}

// sign is that of a needle's code.
func sign(code int) float32 { return float32(1 - 2*(code%2)) }
