package kernel

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// reads says by the definition of windows and chunks whether a query at a token reads a key.
func reads(r Rule, key, token int) bool {
	if r.Window > 0 && key < token-r.Window+1 {
		return false
	}
	return r.Chunk == 0 || key/r.Chunk == token/r.Chunk
}

// defined is the logit of a query's scaled product with a key.
func defined(r Rule, product float64, key, token int) float64 {
	if r.Softcap != 0 {
		product = r.Softcap * math.Tanh(product/r.Softcap)
	}
	return product + r.Slope*float64(key-token)
}

// softmax replaces logits by probabilities, with a sink where the rule has one. Of minus infinities alone it makes zeros.
func softmax(r Rule, logits []float64) {
	largest := slices.Max(logits)
	if math.IsInf(largest, -1) {
		clear(logits)
		return
	}
	var sum float64
	if r.HasSink {
		largest = max(largest, r.Sink)
		sum = math.Exp(r.Sink - largest)
	}
	for i, x := range logits {
		logits[i] = math.Exp(x - largest)
		sum += logits[i]
	}
	for i := range logits {
		logits[i] /= sum
	}
}

// place says where a query stands, and where the first rows that it may see.
type place struct {
	pos   []int32
	token int
	rows  int
}

// read is attention of query h of a problem by the definition, in float64: the probabilities of all rows, [row], the
// output, and how far float32 may be from a logit.
func (p *problem) read(h int, r Rule, at place) (probs, out []float64, off float64) {
	n, q := p.k.Len(), p.q[h*p.k.Dim:(h+1)*p.k.Dim]
	row := make([]float32, max(p.k.Dim, p.v.Dim))
	probs, out = slices.Repeat([]float64{math.Inf(-1)}, n), make([]float64, p.v.Dim)
	for i := range at.rows {
		key := int(at.pos[i])
		if !reads(r, key, at.token) {
			continue
		}
		p.k.Row(i, row)
		var product, size float64
		for c, x := range q {
			product += float64(x) * float64(row[c])
			size += math.Abs(float64(x) * float64(row[c]))
		}
		probs[i] = defined(r, product, key, at.token)
		off = max(off, 8*0x1p-24*(size+r.Softcap+math.Abs(r.Slope*float64(key-at.token))))
	}
	softmax(r, probs)
	for i, x := range probs {
		p.v.Row(i, row)
		for c := range out {
			out[c] += x * float64(row[c])
		}
	}
	return probs, out, off
}

// largest is the largest absolute value.
func (p *problem) largest() (m float64) {
	row := make([]float32, p.v.Dim)
	for i := range p.v.Len() {
		p.v.Row(i, row)
		for _, x := range row {
			m = max(m, math.Abs(float64(x)))
		}
	}
	return m
}

// rules are those with one field set, and with two where there is time.
func rules() map[string]Rule {
	fields := []struct {
		name string
		set  func(*Rule)
	}{
		{"softcap", func(r *Rule) { r.Softcap = 3 }},
		{"slope", func(r *Rule) { r.Slope = 0.0625 }},
		{"window=1", func(r *Rule) { r.Window = 1 }},
		{"window=40", func(r *Rule) { r.Window = 40 }},
		{"window=150", func(r *Rule) { r.Window = 150 }},
		{"window=1100", func(r *Rule) { r.Window = 1100 }},
		{"chunk=48", func(r *Rule) { r.Chunk = 48 }},
		{"chunk=1056", func(r *Rule) { r.Chunk = 1056 }},
		{"sink=2", func(r *Rule) { r.Sink, r.HasSink = 2, true }},
		{"sink=300", func(r *Rule) { r.Sink, r.HasSink = 300, true }},
		{"sink=-300", func(r *Rule) { r.Sink, r.HasSink = -300, true }},
	}
	all := map[string]Rule{"plain": Scaled(1)}
	for i, a := range fields {
		with := fields[i:]
		if testing.Short() {
			with = with[:1]
		}
		for _, b := range with {
			r := Scaled(1)
			a.set(&r)
			b.set(&r)
			all[a.name+" "+b.name] = r
		}
	}
	return all
}

// places are orders in which a store holds n rows, with the token of a query that reads them: a prompt's, a ring's,
// that of entries that a policy evicted, and rows that all but one window or chunk hide.
func places(n int) map[string]place {
	r := rand.New(rand.NewPCG(7, uint64(n)))
	order := func(token int, at func(i int) int) place {
		p := place{token: token, rows: n}
		for i := range n {
			p.pos = append(p.pos, int32(at(i)))
		}
		return p
	}
	shuffled := r.Perm(n)
	return map[string]place{
		"prompt": order(n-1, func(i int) int { return i }),
		"ring":   order(n+40, func(i int) int { return 41 + (i+n-n/3)%n }),
		"gaps":   order(3*n, func(i int) int { return 3*i + i%3 }),
		"moved":  order(n, func(i int) int { return shuffled[i] }),
		"far":    order(5*n+5000, func(i int) int { return i }),
	}
}

// TestExactRules holds logits, denominators and outputs in float64 against the definition, and a query that reads no row.
func TestExactRules(t *testing.T) {
	const dim, n = 16, 1300
	p := newProblem(F32, fills["random"], 3, dim, dim, n)
	k, v := make([]float32, n*dim), make([]float32, n*dim)
	for i := range n {
		p.k.Row(i, k[i*dim:])
		p.v.Row(i, v[i*dim:])
	}
	eachPath(t, func(t *testing.T) {
		for name, rule := range rules() {
			for order, at := range places(n) {
				if order == "ring" || order == "moved" { // the exact forms want ascending positions
					continue
				}
				sights := []Sight{{Token: int(at.pos[99]), Rows: 100}, {Token: at.token, Rows: n}, {Token: at.token - 1, Rows: n - 1}}
				pos := at.pos
				if order == "prompt" {
					pos = nil
				}
				logits, lse := LogitsExact(p.q, dim, rule, k, pos, sights)
				out := WeightedSumExact(logits, lse, dim, v)
				for s, sight := range sights {
					probs, want, _ := p.read(s, rule, place{at.pos, sight.Token, sight.Rows})
					for i, w := range probs {
						if got := math.Exp(logits[s*n+i] - lse[s]); !(math.Abs(got-w) <= 1e-12) {
							t.Fatalf("%s, %s, query %d: probability of row %d is %g, want %g", name, order, s, i, got, w)
						}
					}
					for c, w := range want {
						if got := out[s*dim+c]; !(math.Abs(got-w) <= 1e-12) {
							t.Fatalf("%s, %s, query %d: channel %d is %g, want %g", name, order, s, c, got, w)
						}
					}
				}
			}
		}
	})
}

// bentParts attends as a store does, chunk by chunk, with logits recorded.
func (p *problem) bentParts(rules []Rule, at place) (parts []Partial, logits [][]float32) {
	n, s := at.rows, NewScratch(len(rules), max(p.k.Dim, p.v.Dim))
	for range rules {
		logits = append(logits, make([]float32, n, n+16))
	}
	for lo := 0; lo < n; lo += Chunk {
		hi := min(lo+Chunk, n)
		s.Bend(rules, at.pos[lo:hi], at.token)
		chunk := make([]Partial, len(rules))
		for h := range chunk {
			chunk[h] = Partial{Acc: make([]float32, p.v.Dim), Logits: logits[h][lo:lo:hi]}
		}
		Attend(p.q, &p.k, &p.v, lo, hi, nil, s, chunk)
		parts = append(parts, chunk...)
	}
	return parts, logits
}

// checkBent compares the outputs and the probabilities of heads with rules of their own.
func (p *problem) checkBent(t *testing.T, name string, rules []Rule, at place, parts []Partial, logits [][]float32) {
	t.Helper()
	largest, got := p.largest(), make([]float32, p.v.Dim)
	for h, rule := range rules {
		most, sum := Merge(parts, h, len(rules), &rule, got)
		probs, want, off := p.read(h, rule, at)
		for c, w := range want {
			if !(math.Abs(float64(got[c])-w) <= largest*(2e-6+off)) {
				t.Fatalf("%s, head %d (%+v): channel %d is %g, want %g within %g", name, h, rule, c, got[c], w, largest*(2e-6+off))
			}
		}
		if logits == nil {
			continue
		}
		Probabilities(logits[h], []float32{most}, []float32{1 / sum})
		for i, w := range probs {
			x := float64(logits[h][i])
			if !(math.Abs(x-w) <= 3e-6+2*off) || x != 0 && !reads(rule, int(at.pos[i]), at.token) {
				t.Fatalf("%s, head %d (%+v): probability of row %d is %g, want %g", name, h, rule, i, x, w)
			}
		}
	}
}

// TestAttendRules reads rows in every order by every rule: outputs, the sums that Merge returns, and recorded logits.
func TestAttendRules(t *testing.T) {
	eachPath(t, func(t *testing.T) {
		for _, n := range []int{1, 70, 300, 2*Chunk + 77} {
			p := newProblem(F16, fills["random"], 3, 16, 16, n)
			for name, rule := range rules() {
				for order, at := range places(n) {
					parts, logits := p.bentParts([]Rule{rule, rule, rule}, at)
					p.checkBent(t, fmt.Sprintf("%s, %s, %d rows", name, order, n), []Rule{rule, rule, rule}, at, parts, logits)
				}
			}
		}
	})
}

// headRules differ from head to head in every field.
var headRules = []Rule{
	Scaled(1),
	{Softcap: 2, Window: 100},
	{Slope: 0.25, Chunk: 48},
	{Window: 20, HasSink: true, Sink: 1},
	{Softcap: 8, Slope: 0.01, Chunk: 96, Window: 70},
}

// TestAttendRulesFormats reads every format, whose scales are left to the softmax or not, with a rule a head, by values
// that are huge and rows that are zero too.
func TestAttendRulesFormats(t *testing.T) {
	const n = 333
	eachPath(t, func(t *testing.T) {
		for f := range formats {
			for fill, values := range fills {
				p := newProblem(f, values, len(headRules), 40, 40, n)
				for order, at := range places(n) {
					parts, logits := p.bentParts(headRules, at)
					p.checkBent(t, fmt.Sprintf("%s, %s, %s", f, fill, order), headRules, at, parts, logits)
				}
			}
		}
	})
}

// TestAttendSelectedRules reads some of the rows, and allocates nothing.
func TestAttendSelectedRules(t *testing.T) {
	const n = 400
	eachPath(t, func(t *testing.T) {
		for f := range formats {
			p := newProblem(f, fills["random"], len(headRules), 40, 40, n)
			room, s, parts := NewGathered(&p.k, &p.v, false), NewScratch(len(headRules), 40), make([]Partial, len(headRules))
			for h := range parts {
				parts[h].Acc = make([]float32, 40)
			}
			for order, at := range places(n) {
				for _, every := range []int{1, 3, 390} {
					var selected []int32
					q := &problem{q: p.q, k: NewRows(F32, 40, n), v: NewRows(F32, 40, n)}
					held := place{token: at.token}
					row := make([]float32, 40)
					for i := 0; i < n; i += every {
						selected, held.pos = append(selected, int32(i)), append(held.pos, at.pos[i])
						p.k.Row(i, row)
						q.k.Append(row)
						p.v.Row(i, row)
						q.v.Append(row)
					}
					held.rows = len(selected)
					s.Bend(headRules, at.pos, at.token)
					if allocs := testing.AllocsPerRun(1, func() { AttendSelected(p.q, &p.k, &p.v, selected, room, s, parts) }); allocs != 0 {
						t.Errorf("%g allocations", allocs)
					}
					q.checkBent(t, fmt.Sprintf("%s, %s, each %d-th", f, order, every), headRules, held, parts, nil)
				}
			}
		}
	})
}

// TestCausalRules compares outputs and column sums, with queries beyond the last row that a window hides all of it from.
func TestCausalRules(t *testing.T) {
	pool := NewPool(2)
	defer pool.Close()
	eachPath(t, func(t *testing.T) {
		for _, c := range []struct{ first, queries, beyond int }{{0, 150, 0}, {37, 70, 0}, {1200, 130, 0}, {70, 300, 260}, {63, 65, 64}} {
			n := c.first + c.queries - c.beyond
			p := newProblem(F16, fills["random"], c.queries, 16, 16, n)
			for name, rule := range rules() {
				out, sums := make([]float32, c.queries*16), make([]float64, n)
				Causal(pool, p.q, rule, c.first, &p.k, &p.v, out, sums)
				p.checkCausalRule(t, fmt.Sprintf("%+v, %s", c, name), rule, c.first, out, sums)
			}
		}
		for f := range formats {
			for name, values := range fills {
				p := newProblem(f, values, 130, 20, 20, 140)
				for _, rule := range headRules {
					out, sums := make([]float32, 130*20), make([]float64, 140)
					Causal(nil, p.q, rule, 10, &p.k, &p.v, out, sums)
					p.checkCausalRule(t, fmt.Sprintf("%s, %s, %+v", f, name, rule), rule, 10, out, sums)
				}
			}
		}
	})
}

// upTo is where query s of a prompt's stands whose rows are those of tokens 0, 1, ...
func (p *problem) upTo(first, s int) place {
	at := place{token: first + s, rows: min(p.k.Len(), first+s+1)}
	for i := range at.rows {
		at.pos = append(at.pos, int32(i))
	}
	return at
}

func (p *problem) checkCausalRule(t *testing.T, name string, rule Rule, first int, out []float32, sums []float64) {
	t.Helper()
	dim, largest, offs := p.v.Dim, p.largest(), 0.0
	columns := make([]float64, p.k.Len())
	for s := range len(p.q) / p.k.Dim {
		probs, want, off := p.read(s, rule, p.upTo(first, s))
		offs += 3e-6 + 2*off
		for c, w := range want {
			if got := float64(out[s*dim+c]); !(math.Abs(got-w) <= largest*(2e-6+off)) {
				t.Fatalf("%s: query %d, channel %d: %g, want %g", name, s, c, got, w)
			}
		}
		for i, x := range probs {
			columns[i] += x
		}
	}
	for i, w := range columns {
		if !(math.Abs(sums[i]-w) <= offs) {
			t.Fatalf("%s: row %d: sum of probabilities %g, want %g", name, i, sums[i], w)
		}
	}
}

// TestCausalProbabilitiesRules joins heads whose rules differ.
func TestCausalProbabilitiesRules(t *testing.T) {
	const dim = 16
	eachPath(t, func(t *testing.T) {
		for _, c := range []struct{ first, queries, beyond int }{{0, 200, 0}, {300, 70, 0}, {100, 200, 150}} {
			n := c.first + c.queries - c.beyond
			p := newProblem(F32, fills["random"], len(headRules)*c.queries, dim, dim, n)
			for turn := range headRules { // each is the first once
				rules := slices.Concat(headRules[turn:], headRules[:turn])
				CausalProbabilities(slices.Collect(slices.Chunk(p.q, c.queries*dim)), rules, c.first, &p.k, Max, func(s int, probs []float32) {
					at := p.upTo(c.first, s)
					want, off := make([]float64, n), 0.0
					for h, rule := range rules {
						one, _, o := p.read(h*c.queries+s, rule, at)
						off = max(off, o)
						for i, x := range one {
							want[i] = max(want[i], x)
						}
					}
					if len(probs) != at.rows {
						t.Fatalf("query %d has %d rows, want %d", s, len(probs), at.rows)
					}
					for i, x := range probs {
						if !(math.Abs(float64(x)-want[i]) <= 3e-6+2*off) || x == 0 != (want[i] < 1e-37) {
							t.Fatalf("%+v, query %d, row %d: %g, want %g", c, s, i, x, want[i])
						}
					}
				})
			}
		}
	})
}

// TestHiddenValues: what the queries do not read leaves no trace, however large it is.
func TestHiddenValues(t *testing.T) {
	const dim, n = 16, 200
	eachPath(t, func(t *testing.T) {
		p := newProblem(F32, fills["random"], 1, dim, dim, n)
		huge := slices.Repeat([]float32{3e38}, dim)
		for i := range 100 {
			p.k.Set(i, huge)
			p.v.Set(i, huge)
		}
		rule, at := Rule{Window: 60}, places(n)["prompt"]
		parts, logits := p.bentParts([]Rule{rule}, at)
		some := &problem{q: p.q, k: p.k.Slice(100, n), v: p.v.Slice(100, n)}
		some.checkBent(t, "window", []Rule{rule}, place{at.pos[100:], at.token, n - 100}, parts, [][]float32{logits[0][100:]})
		var out [dim]float32
		Causal(nil, p.q, rule, n-1, &p.k, &p.v, out[:], nil)
		if x := float64(out[0]); math.IsNaN(x) || math.Abs(x) > 10 {
			t.Errorf("causal attention reads hidden values: %g", x)
		}
	})
}

// TestSoftcapAccuracy wants capped logits within 1e-6 of the cap, of either sign and of any size.
func TestSoftcapAccuracy(t *testing.T) {
	eachPath(t, func(t *testing.T) {
		s := NewScratch(1, 1)
		for _, most := range []float32{0.5, 15, 30, 50, 1000} {
			for x := float32(1e-6); x < 1e30; x *= 1.7 {
				row := []float32{x * most, -x * most, 0}
				s.softcap(row, most)
				want := float64(most) * math.Tanh(float64(x*most)/float64(most))
				if math.Abs(float64(row[0])-want) > 1e-6*float64(most) || row[1] != -row[0] || row[2] != 0 {
					t.Fatalf("cap %g: logits %g and minus that become %v, want %g", most, x*most, row, want)
				}
			}
		}
	})
}

// TestFarSlope: a logit far behind the query is off by the rounding of its own size, and no nearer one suffers.
func TestFarSlope(t *testing.T) {
	const dim, n = 16, 300
	eachPath(t, func(t *testing.T) {
		p := newProblem(F16, fills["random"], 3, dim, dim, n)
		at := place{token: 32768, rows: n}
		for i := range n {
			at.pos = append(at.pos, int32(i*32768/(n-1)))
		}
		rules := []Rule{{Slope: 0.5}, {Slope: 1.0 / 256}, {Slope: 0.84}}
		parts, logits := p.bentParts(rules, at)
		p.checkBent(t, "far", rules, at, parts, logits)
	})
}

// TestBentAttendAllocatesNothing covers caps, slopes and hidden rows.
func TestBentAttendAllocatesNothing(t *testing.T) {
	const n = 300
	p, at := newProblem(Int8, fills["random"], len(headRules), 40, 40, n), places(n)["gaps"]
	s, parts := NewScratch(len(headRules), 40), make([]Partial, len(headRules))
	for h := range parts {
		parts[h].Acc = make([]float32, 40)
	}
	if allocs := testing.AllocsPerRun(5, func() {
		s.Bend(headRules, at.pos, at.token)
		Attend(p.q, &p.k, &p.v, 0, n, nil, s, parts)
	}); allocs != 0 {
		t.Errorf("%g allocations", allocs)
	}
}
