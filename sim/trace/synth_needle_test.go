package trace

import (
	"math"
	"math/bits"
	"testing"

	"kvgauge/sim/kernel"
)

// TestNeedlePlan: every power of two has needles in its decode window, one of them with its key near the
// beginning, and the silences reach from 16 tokens to nearly the whole length.
func TestNeedlePlan(t *testing.T) {
	for _, shape := range [][3]int{{4, 8, 4}, {1, 1, 1}, {1, 1, 16}, {30, 3, 2}} {
		var homes []needleHome
		for layer := range shape[0] {
			homes = append(homes, needleHome{layer: layer, kvHeads: shape[1]})
		}
		plan := planNeedles(7, homes, shape[2])
		octaves := map[int]bool{}
		type row struct{ layer, head, token int }
		keys, queries := map[row]bool{}, map[row]bool{}
		for _, n := range plan {
			key, query := row{n.Layer, n.KVHead, n.Key}, row{n.Layer, n.KVHead, n.Query}
			if keys[key] || queries[query] {
				t.Errorf("%v: key or query used twice", n)
			}
			keys[key], queries[query] = true, true
			if n.Key < firstNeedleKey || n.Query-n.Key < leastSilence-1 || n.Layer >= shape[0] || n.KVHead >= shape[1] {
				t.Errorf("%v out of range", n)
			}
			if n.Query < 1<<13 {
				octaves[bits.Len(uint(n.Query-n.Key))-1] = true
			}
		}
		for size := 128; size <= 8192; size *= 2 {
			window := min(64, max(16, size/8))
			inPrompt, early := 0, 0
			for _, n := range plan {
				if size-window <= n.Query && n.Query < size && n.Key < size-window {
					inPrompt++
					if n.Key < size/16 {
						early++
					}
				}
			}
			if inPrompt == 0 || early == 0 {
				t.Errorf("%v: length %d: %d needles with the key in the prompt, %d early", shape, size, inPrompt, early)
			}
		}
		if shape[2] >= 4 {
			for o := 4; o < 13; o++ {
				if !octaves[o] {
					t.Errorf("%v: no silence of %d to %d tokens", shape, 1<<o, 2<<o-1)
				}
			}
		}
	}
}

// TestNeedlesAreSilentUntilAskedFor measures every needle of 1,024 tokens in exact attention: what the
// asking query gives it, and what all queries before did.
func TestNeedlesAreSilentUntilAskedFor(t *testing.T) {
	for _, spec := range []string{"synth", "synth:kv_heads=2,model=3,text=4", "synth:head_dim=128,layers=2,q_heads=4,kv_heads=2"} {
		tr := open(t, spec, Options{})
		var total float64 // probabilities of silent needles, in units of 1/t
		silent, loud := 0, 0
		for _, n := range tr.Needles {
			if n.Query >= 1024 {
				continue
			}
			l, err := tr.Read(n.Layer, n.Query+1, 0)
			if err != nil {
				t.Fatal(err)
			}
			group := tr.Attention[0].QHeads / tr.Attention[0].KVHeads
			for h := n.KVHead * group; h < (n.KVHead+1)*group; h++ {
				sees := kernel.Sights(n.Key+1, n.Query-n.Key)
				q := l.Q[h][(n.Key+1)*tr.Attention[0].QKDim:]
				logits, lse := kernel.LogitsExact(q, tr.Attention[0].QKDim, kernel.Scaled(tr.Attention[0].Scale), l.K[n.KVHead], nil, sees)
				for i := range sees {
					s := sees[i].Rows
					p := math.Exp(logits[i*(n.Query+1)+n.Key] - lse[i])
					switch {
					case s == n.Query+1 && p < 0.3:
						t.Errorf("%s: head %d asks for %v with a probability of %.2f", spec, h, n, p)
					case s <= n.Query:
						total += p * float64(s)
						silent++
						if p*float64(s) > 1 {
							loud++
						}
					}
				}
			}
		}
		if m := total / float64(silent); m > 0.3 || loud > silent/100 {
			t.Errorf("%s: before, a needle gets %.2f/t, and %d times of %d more than 1/t", spec, m, loud, silent)
		}
	}
}
