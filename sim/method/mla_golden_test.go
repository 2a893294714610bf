package method

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"testing"

	"gonum.org/v1/gonum/mat"

	"kvgauge/sim/trace"
)

// TestBasisGoldens holds the joint basis of keys and values, unbalanced and fitted on all tokens, against an
// independent float64 reference: the error of exact causal attention of the last 32 queries over the rows
// that it reconstructs.
func TestBasisGoldens(t *testing.T) {
	for _, name := range []string{"tiny", "gqa"} {
		dir := filepath.Join("..", "..", "testdata", "goldens", name)
		tr, err := trace.Open(filepath.Join(dir, "trace.safetensors"), trace.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer tr.Close()
		data, err := os.ReadFile(filepath.Join(dir, "sharing.json"))
		if err != nil {
			t.Fatal(err)
		}
		var goldens []struct {
			Method string
			Params struct{ Rank int }
			Layer  int
			RelL2  float64 `json:"rel_l2"`
		}
		if err := json.Unmarshal(data, &goldens); err != nil {
			t.Fatal(err)
		}
		checked := 0
		for _, g := range goldens {
			if g.Method != "latent" {
				continue
			}
			l, err := tr.Read(g.Layer, tr.Tokens, 0)
			if err != nil {
				t.Fatal(err)
			}
			k, v := sideBySide(l.K, tr.Attention[0].QKDim, 1), sideBySide(l.V, tr.Attention[0].QKDim, 1)
			b := newBasis(k, v, g.Params.Rank, 0)
			var x, c, y mat.Dense
			x.Augment(k, v)
			c.Mul(&x, b.u)
			y.Mul(&c, b.u.T())
			_, width := k.Dims()
			_, both := x.Dims()
			got := attentionError(l.Q, k, v, y.Slice(0, tr.Tokens, 0, width), y.Slice(0, tr.Tokens, width, both), tr)
			if math.Abs(got-g.RelL2) > 1e-5 {
				t.Errorf("%s rank %d layer %d: rel_l2 %.7f, want %.7f", name, g.Params.Rank, g.Layer, got, g.RelL2)
			}
			checked++
		}
		if checked != 3*len(tr.Layers) {
			t.Errorf("%s: %d records checked", name, checked)
		}
	}
}

// attentionError compares attention over keys k2 and values v2, [tokens][heads*dim], with that over k and v.
func attentionError(q [][]float32, k, v, k2, v2 mat.Matrix, tr *trace.Trace) float64 {
	var diff, norm float64
	for pos := tr.Tokens - 32; pos < tr.Tokens; pos++ {
		for h := range q {
			row := q[h][pos*tr.Attention[0].QKDim : (pos+1)*tr.Attention[0].QKDim]
			at := h / (tr.Attention[0].QHeads / tr.Attention[0].KVHeads) * tr.Attention[0].QKDim
			a, b := attend(row, k, v, at, pos+1, tr.Attention[0].Scale), attend(row, k2, v2, at, pos+1, tr.Attention[0].Scale)
			for c := range a {
				diff += (a[c] - b[c]) * (a[c] - b[c])
				norm += a[c] * a[c]
			}
		}
	}
	return math.Sqrt(diff / norm)
}

// attend is one query's, over the first n rows and the channels from at on.
func attend(q []float32, k, v mat.Matrix, at, n int, scale float64) []float64 {
	logits := make([]float64, n)
	most := math.Inf(-1)
	for i := range logits {
		for c, x := range q {
			logits[i] += scale * float64(x) * k.At(i, at+c)
		}
		most = max(most, logits[i])
	}
	out := make([]float64, len(q))
	var sum float64
	for i, x := range logits {
		p := math.Exp(x - most)
		sum += p
		for c := range out {
			out[c] += p * v.At(i, at+c)
		}
	}
	for c := range out {
		out[c] /= sum
	}
	return out
}
