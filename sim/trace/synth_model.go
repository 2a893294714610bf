package trace

import "math"

// Magnitudes of the model, chosen so that stats.Measure finds what it finds in smollm2 and bytelm. Logits are
// q.k/sqrt(head_dim), or q.k by the scale that is asked for.
const (
	contentLogit = 1.8       // standard deviation of a query's logits over contents
	heavyLogit   = 7.5       // of a heavy token
	topicShare   = 0.04      // of a content's variance: the topic, which nearby tokens share
	heavyTokens  = 1.0 / 128 // share of the tokens

	keyLocal   = 8.0  // norm of a key's part for locality
	keyFixed   = 7.0  // norm of each of its two parts that queries avoid, along u and u'
	keyContent = 2.0  // standard deviation of a content direction
	keyNeedle  = 10.0 // norm of a needle
	keyNoise   = 0.4  // standard deviation of a dimension

	valueContent = 1.0
	valueBias    = 0.5 // norm of a value's constant part, relative to its content
	valueNoise   = 0.1 // standard deviation of a dimension

	sinkKey, sinkValue = 0.4, 0.25 // what is left of the sink's rows: real sinks have short ones
	askingShare        = 0.4       // what is left of a query's habits when it asks for a needle
	askingLogit        = 1.5       // how far the needle's logit is above the log-sum-exp of all other keys
)

// kvModel is the structure of one KV head. Pairs of dimensions, in the order of their frequencies, have
// fixed uses: the faster half carries locality, then come content, needles and, last and slowest, the
// directions of sinks and heavy tokens. The letters are those of the formulas at synth.
type kvModel struct {
	bias      []float32  // [head_dim] b: locality; norm 1
	content   []int      // [rank] P: dimension of each content direction; whole pairs
	values    []float32  // [rank][v_dim] C: basis of the values
	valueBias []float32  // [v_dim]
	sink      [2]float32 // u in the slowest pair; norm 1
	needles   []int      // dimensions of needle codes: code c is the c/2-th of them, positive where c is even
}

// headModel is the structure of one query head.
type headModel struct {
	local, sink    float64 // logits, relative to the log-sum-exp of all other keys
	heavy, content float64 // logit of a heavy token; standard deviation of the logits over contents
}

// layerModel is the structure of one layer.
type layerModel struct {
	kv    []kvModel   // [kv_heads]
	heads []headModel // [q_heads]
}

// rankOf is how many directions a head's content spans, an even number.
func (a synthArgs) rankOf() int {
	content, _ := contentPairs(a.int("head_dim"))
	return 2 * min(content, max(1, int(math.Round(a["rank"]*a["head_dim"]/2))))
}

// contentPairs is how many pairs of the slower half content may use, and how many needles do.
func contentPairs(dim int) (content, needles int) {
	needles = max(1, dim/16)
	return dim/2 - dim/4 - needles - 1, needles
}

// headKey is the key of what the structure of a head is drawn from.
func (a synthArgs) headKey(purpose uint64, layer, head int) uint64 {
	return keyed(uint64(a.int("model")), purpose, uint64(layer), uint64(head))
}

// headModels draws the structure of the query heads of a layer, whose parameters these are.
func (a synthArgs) headModels(layer int) []headModel {
	var heads []headModel
	// The first layers of real models attend more evenly, and the very first has no sink.
	sharp := 1 - 0.4*math.Exp2(-float64(layer))
	for h := range a.int("q_heads") {
		k := a.headKey(forHeads, layer, h)
		head := headModel{
			local:   a["locality"] * sharp * between(k+1, 0.85, 1.2),
			sink:    a["sink"] * between(k+2, 1.0, 1.3),
			heavy:   a["heavy"] * sharp * heavyLogit * between(k+3, 0.5, 1.1),
			content: sharp * contentLogit * between(k+4, 0.8, 1.2),
		}
		if layer == 0 {
			head.sink = 0
		}
		heads = append(heads, head)
	}
	return heads
}

// others is the log-sum-exp of the contents of so many keys, for logits of a normal distribution: the measure of sink and
// locality.
func (m *headModel) others(keys int) float64 {
	return math.Log(float64(keys)) + m.content*m.content/2
}

// usual is about the log-sum-exp of all keys at 1024 tokens: contents, nearby ones more, and the sink's, which heavy tokens
// and the sink lower.
func (m *headModel) usual() float64 {
	const near = 1.5
	lse := m.others(1024)
	return math.Log(math.Exp(lse*(1-m.sink))+1) + near*m.local - m.heavy
}

// newLayerModel draws the structure of a layer, whose parameters these are.
func newLayerModel(a synthArgs, layer int) *layerModel {
	m := &layerModel{heads: a.headModels(layer)}
	for g := range a.int("kv_heads") {
		m.kv = append(m.kv, newKVModel(a.int("head_dim"), a.int("v_dim"), a.rankOf(), func(purpose uint64) uint64 {
			return a.headKey(purpose, layer, g)
		}))
	}
	return m
}

// newKVModel draws the structure of a KV head with keys of dim channels and values of width.
func newKVModel(dim, width, rank int, key func(purpose uint64) uint64) kvModel {
	m := kvModel{
		bias: make([]float32, dim), valueBias: make([]float32, width), values: make([]float32, width*rank),
	}
	half, local := dim/2, dim/4
	var norm float64
	for p := range local {
		size := between(key(forBias)+uint64(2*p), 0.5, 1.5)
		sin, cos := math.Sincos(2 * math.Pi * uniform(key(forBias)+uint64(2*p+1)))
		m.bias[p], m.bias[p+half] = float32(size*cos), float32(size*sin)
		norm += size * size
	}
	for d := range m.bias {
		m.bias[d] /= float32(math.Sqrt(norm))
	}
	pairs, needlePairs := contentPairs(dim)
	order := make([]int, pairs) // of the content's pairs, shuffled
	for i := range order {
		j := int(uniform(key(forPairs)+uint64(i)) * float64(i+1))
		order[i], order[j] = order[j], local+i
	}
	for _, p := range order[:rank/2] {
		m.content = append(m.content, p, p+half)
	}
	for p := local + pairs; p < local+pairs+needlePairs; p++ {
		m.needles = append(m.needles, p, p+half)
	}
	sin, cos := math.Sincos(2 * math.Pi * uniform(key(forHeads)))
	m.sink = [2]float32{float32(cos), float32(sin)}
	drawn := make([]float32, width*rank) // [v_dim][rank]
	normals(drawn, key(forValues))
	for i, x := range drawn {
		m.values[i%rank*width+i/rank] = x * float32(valueContent/math.Sqrt(float64(width)))
	}
	normals(m.valueBias, key(forValues)+1)
	for i := range m.valueBias {
		m.valueBias[i] *= float32(valueBias * math.Sqrt(float64(rank)/float64(width)))
	}
	return m
}
