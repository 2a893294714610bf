package sim

import (
	"context"
	"fmt"
	"slices"
	"strconv"

	"kvgauge/sim/kernel"
	"kvgauge/sim/record"
	"kvgauge/sim/trace"
)

const (
	// copiedTokens is how many tokens tell that KV heads are copies, and that f16 cannot hold what they are.
	copiedTokens = 64
	// leastF16 is below what binary16 holds to 4 bits: its steps are 2^-24 there.
	leastF16 = 0x1p-21
)

// CheckOutputs compares the reference with the outputs that a trace holds, of the last n queries of its first tokens in
// each of some layers; 0 is all queries. It returns warnings, and an error where the trace is not what its model computed.
func CheckOutputs(ctx context.Context, t *trace.Trace, layers []int, tokens, n int, pool *kernel.Pool) ([]record.Warning, error) {
	var warnings []record.Warning
	for _, number := range layers {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		held := tokens - t.FirstQuery()
		if !t.At(number).Outputs || held < 1 {
			continue
		}
		if n > 0 {
			held = min(held, n)
		}
		p, err := newProof(t, number, tokens, held, pool)
		if err != nil {
			return nil, err
		}
		switch e := p.error(&p.attention, p.layer); {
		case !(e <= refusedOutputs):
			cause, err := p.cause(t, number)
			if err != nil {
				return nil, err
			}
			return nil, record.Input(fmt.Errorf("trace %s: tensor layers.%d.o: attention over q, k and v is %s away from it, want at most %s: %s",
				t.Name, number, percent(e), percent(refusedOutputs), cause))
		case e > doubtfulOutputs:
			warnings = append(warnings, record.Warning{Code: "outputs-differ", Text: fmt.Sprintf(
				"layer %d: attention over q, k and v is %s away from the outputs that the trace holds", number, percent(e))})
		}
	}
	return warnings, nil
}

// percent is a share in text, to two digits.
func percent(x float64) string {
	rounded, _ := strconv.ParseFloat(strconv.FormatFloat(100*x, 'g', 2, 64), 64)
	return strconv.FormatFloat(rounded, 'f', -1, 64) + " %"
}

// doubts are the warnings that a trace's rows and outputs give: KV heads that are copies of each other, and outputs that are
// not what attention gives. It fails where the outputs are too far from it.
func (r *rows) doubts(ctx context.Context, layers []int, pool *kernel.Pool) ([]record.Warning, error) {
	var warnings []record.Warning
	for _, layer := range layers {
		if r.trace.Owner(layer) != layer {
			continue // its rows are looked at there
		}
		l, err := r.trace.Read(layer, min(copiedTokens, r.tokens), r.tokens)
		if err != nil {
			return nil, err
		}
		if copies := copied(l); copies > 1 {
			warnings = append(warnings, record.Warning{Code: "repeated-heads", Text: fmt.Sprintf(
				"layer %d: its %d KV heads are %d in copies: keys and values repeated for the query heads? want them before repetition", layer, len(l.K), len(l.K)/copies)})
		}
		if what := vanishing(l); what != "" {
			warnings = append(warnings, record.Warning{Code: "f16-underflow", Text: fmt.Sprintf(
				"layer %d: most of its %s are below 5e-7, of which f16 keeps less than 4 bits: full is off by as much, and so is what stores f16; bf16 is not", layer, what)})
		}
	}
	more, err := CheckOutputs(ctx, r.trace, layers, r.tokens, provedQueries, pool)
	return append(warnings, more...), err
}

// vanishing says which of a layer's rows f16 would round to little or nothing: keys, values or both.
func vanishing(l *trace.Layer) string {
	most := func(heads [][]float32) bool {
		small, all := 0, 0
		for _, rows := range heads {
			for _, x := range rows {
				if x != 0 {
					all++
				}
				if x != 0 && max(x, -x) < leastF16 {
					small++
				}
			}
		}
		return 2*small > all
	}
	switch k, v := most(l.K), most(l.V); {
	case k && v:
		return "keys and values"
	case k:
		return "keys"
	case v:
		return "values"
	}
	return ""
}

// copied is how many adjacent KV heads hold the same rows, at most, where all heads have as many copies; else 1.
func copied(l *trace.Layer) int {
	same := func(a, b int) bool { return slices.Equal(l.K[a], l.K[b]) && slices.Equal(l.V[a], l.V[b]) }
	n := 1
	for n < len(l.K) && same(0, n) {
		n++
	}
	if len(l.K)%n != 0 {
		return 1
	}
	for h := range l.K {
		if !same(h, h/n*n) {
			return 1
		}
	}
	return n
}
