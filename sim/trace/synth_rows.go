package trace

import (
	"math"

	"kvgauge/sim/kernel"
)

// synthChunk is how many tokens share one rotary table.
const synthChunk = 512

// rotaryTable holds the cosines and sines of the angles of consecutive tokens, [token][pair].
type rotaryTable struct {
	cos, sin []float32
}

// newRotaryTable computes the table of n tokens from the first.
func newRotaryTable(freq []float64, first, n int) rotaryTable {
	r := rotaryTable{make([]float32, n*len(freq)), make([]float32, n*len(freq))}
	for i := range n {
		for p, w := range freq {
			sin, cos := math.Sincos(float64(first+i) * w)
			r.sin[i*len(freq)+p], r.cos[i*len(freq)+p] = float32(sin), float32(cos)
		}
	}
	return r
}

// rotate applies the rotary embedding to the row of the i-th token, neox halves.
func (r rotaryTable) rotate(row []float32, i int) {
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
	dim    int         // of queries and keys
	width  int         // of values
	root   float64     // turns a logit into a product of norms
	rho    float64     // cosine of adjacent queries
	rule   kernel.Rule // which keys a query reads
	layer  int
	head   int // KV head
	kv     *kvModel
	first  int         // query head that reads it
	heads  []headModel // [group]
	needle planted
	nope   *nopeWriter // of a layer with latents

	content *field
	topic   *drifting
	search  []*drifting // [group]
	z, y    []float32   // [rank] scratch: what the token says, the topic
}

// newWriter draws what the rows of a head have in common.
func (s *synth) newWriter(a synthArgs, m *layerModel, layer, g int) *writer {
	group := a.int("q_heads") / a.int("kv_heads")
	rank := a.rankOf()
	drifts := func(purpose uint64, head int) *drifting {
		return newDrifting(newField(keyed(s.text, purpose, uint64(head)), layer, a["layer_similarity"], rank), a["drift"])
	}
	w := &writer{
		synth: s, dim: a.int("head_dim"), width: a.int("v_dim"), root: a.root(), rho: a["query_similarity"], rule: a.rule(), layer: layer, head: g, kv: &m.kv[g], first: g * group, heads: m.heads[g*group : (g+1)*group],
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
func (w *writer) write(l *Layer, r rotaryTable, i, token int) {
	row := func(rows []float32, at, d int) []float32 { return rows[at*d : (at+1)*d] }
	w.topic.draw(w.y, token)
	w.content.draw(w.z, uint64(token))
	blend(w.z, w.y, float32(math.Sqrt(1-topicShare)), float32(math.Sqrt(topicShare)))
	k := row(l.K[w.head], token, w.dim)
	w.key(k, token)
	r.rotate(k, i)
	w.fixKey(k, token)
	w.value(row(l.V[w.head], token, w.width), token)
	if token < l.FirstQuery {
		return
	}
	for j := range w.heads {
		w.query(row(l.Q[w.first+j], token-l.FirstQuery, w.dim), r, i, j, token, token-l.FirstQuery)
	}
}

// sinks says whether the token is an attention sink of the layer.
func (w *writer) sinks(token int) bool { return token == 0 && w.layer > 0 }

// key writes the part of a key that the rotary embedding rotates.
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

// fixKey adds the part of a key that the rotary embedding leaves alone.
func (w *writer) fixKey(k []float32, token int) {
	var sink, heavy float32
	code, hidden := w.needle.keys[token]
	if hidden {
		k[w.kv.needles[code/2]] += keyNeedle * sign(code)
	} else {
		heavy = float32(heaviness(w.synth.text, token))
		if w.sinks(token) {
			sink = 1
		}
	}
	w.kv.addFixed(k, -keyFixed*(1-sink), -keyFixed*(1-heavy))
}

// value writes a value.
func (w *writer) value(v []float32, token int) {
	normals(v, w.noise(forNoiseV, w.head, token))
	share := float32(1)
	if w.sinks(token) {
		share = sinkValue
	}
	for c, b := range w.kv.valueBias {
		v[c] = float32(valueNoise*v[c]) + b
	}
	dim := len(v)
	// Two directions at a time, of an even number, and all channels inside: channel by channel each sum would
	// wait for its last addition.
	for j := 0; j < len(w.z); j += 2 {
		y, z, next := w.z[j], w.z[j+1], w.kv.values[(j+1)*dim:(j+2)*dim]
		for c, b := range w.kv.values[j*dim : (j+1)*dim] {
			v[c] = v[c] + float32(b*y) + float32(next[c]*z)
		}
	}
	for c := range v {
		v[c] *= share
	}
}

// query writes the query of the group's j-th head, of those that are read the row-th. w.y holds the topic; w.z is overwritten.
func (w *writer) query(q []float32, r rotaryTable, i, j, token, row int) {
	head, dim, rank := w.heads[j], float64(len(q)), float64(len(w.y))
	lse := head.others(token - w.rule.First(token) + 1)
	habits := 1.0
	code, asks := w.needle.queries[token]
	if asks {
		habits = askingShare
	}
	root := w.root
	local := habits * head.local * lse * root / keyLocal
	content := habits * head.content * root / (keyContent * math.Sqrt(rank))
	sink, heavy := habits*head.sink*lse*root/keyFixed, habits*head.heavy*root/keyFixed
	energy := local*local + content*content*rank + sink*sink + heavy*heavy
	noise := float32(math.Sqrt(energy * (1 - w.rho) / w.rho / dim))
	if w.nope != nil {
		content *= math.Sqrt2 / 2
	}
	toNear, toContent := float32(local), float32(content)

	normals(q, w.noise(forNoiseQ, w.first+j, token))
	for c, b := range w.kv.bias {
		q[c] = float32(noise*q[c]) + float32(toNear*b)
	}
	w.search[j].draw(w.z, token)
	blend(w.z, w.y, math.Sqrt2/2, math.Sqrt2/2)
	for n, c := range w.kv.content {
		q[c] += float32(toContent * w.z[n])
	}
	if w.nope != nil {
		w.nope.write(j, row, w.z, content*keyContent, w.noise(forNoiseNope, w.first+j, token))
	}
	r.rotate(q, i)
	w.kv.addFixed(q, float32(sink), float32(heavy))
	if asks {
		q[w.kv.needles[code/2]] += float32((lse+askingLogit)*root/keyNeedle) * sign(code)
	}
}

// addFixed adds to a row its parts along u and u', which is u rotated by a right angle.
func (m *kvModel) addFixed(row []float32, sink, heavy float32) {
	half := len(row) / 2
	row[half-1] += float32(sink*m.sink[0]) - float32(heavy*m.sink[1])
	row[len(row)-1] += float32(sink*m.sink[1]) + float32(heavy*m.sink[0])
}

// sign is that of a needle's code.
func sign(code int) float32 { return float32(1 - 2*(code%2)) }
