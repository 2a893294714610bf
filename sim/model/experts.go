package model

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"

	"kvgauge/sim/kernel"
)

// Experts are MLPs of which each token takes a few.
type Experts struct {
	Count    int
	PerToken int
	Width    int // channels between the matrices of one
	Route    Route
	Biases   bool // of the router and of experts
}

// Route is how the weights of a token's experts come from its logits. The experts are always those of the largest logits.
type Route int

const (
	SoftmaxFirst      Route = iota // softmax over all experts
	SoftmaxNormalised              // the same, divided by their sum over those chosen
	SoftmaxOfChosen                // softmax over those chosen
)

// The names of a layer's experts: one tensor for each matrix of each expert, all experts' in one, or that as gpt-oss has
// it, with inputs first, gate and up by turns, and biases.
const (
	gateUpOfAll = "mlp.experts.gate_up_proj"
	downOfAll   = "mlp.experts.down_proj"
)

// isExpert says whether a tensor is one of experts.
func isExpert(name string) bool { return strings.Contains(name, ".mlp.experts.") }

// routerName is what the router of a layer is called.
func (m *Model) routerName() string {
	if m.Experts.Biases {
		return "mlp.router"
	}
	return "mlp.gate"
}

// expertTensors lists the tensors of a layer's experts.
func (m *Model) expertTensors(l int) ([]tensor, error) {
	var list []tensor
	e := m.Experts
	add := func(name string, shape ...int) { list = append(list, tensor{m.name(l, name), shape}) }
	add(m.routerName()+".weight", e.Count, m.Hidden)
	switch {
	case e.Biases:
		if m.tensors.has(m.name(l, gateUpOfAll+"_blocks")) {
			return nil, fmt.Errorf("tensor %s_blocks: mxfp4 weights are not read, want F32, F16 or BF16", m.name(l, gateUpOfAll))
		}
		add(m.routerName()+".bias", e.Count)
		add(gateUpOfAll, e.Count, m.Hidden, 2*e.Width)
		add(gateUpOfAll+"_bias", e.Count, 2*e.Width)
		add(downOfAll, e.Count, e.Width, m.Hidden)
		add(downOfAll+"_bias", e.Count, m.Hidden)
	case m.tensors.has(m.name(l, gateUpOfAll)):
		add(gateUpOfAll, e.Count, 2*e.Width, m.Hidden)
		add(downOfAll, e.Count, m.Hidden, e.Width)
	default:
		for i := range e.Count {
			add(fmt.Sprintf("mlp.experts.%d.gate_proj.weight", i), e.Width, m.Hidden)
			add(fmt.Sprintf("mlp.experts.%d.up_proj.weight", i), e.Width, m.Hidden)
			add(fmt.Sprintf("mlp.experts.%d.down_proj.weight", i), m.Hidden, e.Width)
		}
	}
	return list, nil
}

// router reads the router of a layer.
func (r *reader) router(l int) *linear {
	x := r.linear(l, r.m.routerName(), r.m.Experts.Biases, 0, r.m.Experts.Count, r.m.Hidden)
	return &x
}

// expert reads one expert of a layer.
func (r *reader) expert(l, i int) (gate, up, down linear, err error) {
	m, e := r.m, r.m.Experts
	switch {
	case e.Biases:
		gateUp := r.matrix(m.name(l, gateUpOfAll), i*m.Hidden, m.Hidden, 2*e.Width)
		biases := r.vector(m.name(l, gateUpOfAll+"_bias"), i*2*e.Width, 2*e.Width, 0)
		gate = linear{r.transposed(&gateUp, 0, 2), everySecond(biases, 0)}
		up = linear{r.transposed(&gateUp, 1, 2), everySecond(biases, 1)}
		rows := r.matrix(m.name(l, downOfAll), i*e.Width, e.Width, m.Hidden)
		down = linear{r.transposed(&rows, 0, 1), r.vector(m.name(l, downOfAll+"_bias"), i*m.Hidden, m.Hidden, 0)}
	case m.tensors.has(m.name(l, gateUpOfAll)):
		gate.rows = r.matrix(m.name(l, gateUpOfAll), 2*i*e.Width, e.Width, m.Hidden)
		up.rows = r.matrix(m.name(l, gateUpOfAll), (2*i+1)*e.Width, e.Width, m.Hidden)
		down.rows = r.matrix(m.name(l, downOfAll), i*m.Hidden, m.Hidden, e.Width)
	default:
		name := fmt.Sprintf("mlp.experts.%d.", i)
		gate = r.linear(l, name+"gate_proj", false, 0, e.Width, m.Hidden)
		up = r.linear(l, name+"up_proj", false, 0, e.Width, m.Hidden)
		down = r.linear(l, name+"down_proj", false, 0, m.Hidden, e.Width)
	}
	return gate, up, down, r.err
}

// everySecond returns the numbers of even or of odd places.
func everySecond(x []float32, first int) []float32 {
	out := make([]float32, 0, len(x)/2)
	for i := first; i < len(x); i += 2 {
		out = append(out, x[i])
	}
	return out
}

// transposed returns columns first, first+step, ... of a matrix as rows, of the same format.
func (r *reader) transposed(m *kernel.Rows, first, step int) kernel.Rows {
	width := m.Format.CodeBytes(1)
	n, cols := m.Len(), m.Dim/step
	out := kernel.NewCodes(m.Format, n, 0)
	out.Data = r.memory(n * cols * width)
	const tile = 16 // columns whose lines stay in the cache
	for lo := 0; lo < cols; lo += tile {
		for i := range n {
			for j := lo; j < min(lo+tile, cols); j++ {
				copy(out.Data[(j*n+i)*width:][:width], m.Data[(i*m.Dim+first+j*step)*width:])
			}
		}
	}
	return out
}

// chosen is one token of an expert.
type chosen struct {
	token  int
	weight float32
}

// route returns the tokens of each expert, of the router's logits [tokens][Count].
func (e *Experts) route(logits []float32, tokens int) [][]chosen {
	of := make([][]chosen, e.Count)
	order := make([]int, e.Count)
	for t := range tokens {
		row := logits[t*e.Count : (t+1)*e.Count]
		for i := range order {
			order[i] = i
		}
		slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(row[b], row[a]) })
		best := order[:e.PerToken]
		over := order // whose softmax
		if e.Route != SoftmaxFirst {
			over = best // dividing by the sum over those chosen is a softmax of them
		}
		var sum float64
		for _, i := range over {
			sum += math.Exp(float64(row[i] - row[best[0]]))
		}
		for _, i := range best {
			of[i] = append(of[i], chosen{t, float32(math.Exp(float64(row[i]-row[best[0]])) / sum)})
		}
	}
	return of
}
