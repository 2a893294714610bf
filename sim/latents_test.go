package sim

import (
	"encoding/binary"
	"fmt"
	"math"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"kvgauge/sim/record"
	"kvgauge/sim/trace"
)

// latentTrace is a trace of three layers that cache latents, one of them in a window, in other forms, made of it by plain
// loops in float64: absorbed is the same attention as that of one KV head with queries projected, which puts out sums of
// latents, and expanded has keys and values of their own for each head.
type latentTrace struct{ latent, absorbed, expanded *trace.Trace }

func newLatentTrace(t *testing.T, qHeads int) latentTrace {
	t.Helper()
	dir := t.TempDir()
	path := filepath.Join(dir, "latent.safetensors")
	made := openTrace(t, fmt.Sprintf("synth:latent=64,q_heads=%d,head_dim=32,v_dim=24,latent_rope=32,layers=4,tokens=200,full_every=4,window=48", qHeads))
	if err := trace.Write(t.Context(), path, made, "F32", nil); err != nil {
		t.Fatal(err)
	}
	a, latent := made.At(0), readSafetensors(t, path)
	delete(latent.meta, "needles")
	absorbed, expanded := latent.bare(), latent.bare()
	absorbed.meta["scale"], expanded.meta["scale"] = latent.meta["scale"], latent.meta["scale"]
	delete(absorbed.meta, "rope_theta") // the expanded keys are rotated in other places
	delete(expanded.meta, "rope_theta")
	n, nope, rank, shared := made.Tokens, a.Nope(), a.Rank, a.SharedDim
	for layer := range made.Layers {
		of := fmt.Sprintf("layers.%d.", layer)
		c, kr, uk, uv, q := latent.floats(of+"c"), latent.floats(of+"k_rope"), latent.floats(of+"w_uk"), latent.floats(of+"w_uv"), latent.floats(of+"q")
		var aq, ak, av, ek, ev, o []float64
		for i := range n {
			latentRow, sharedRow := c[i*rank:(i+1)*rank], kr[i*shared:(i+1)*shared]
			ak, av = append(append(ak, latentRow...), sharedRow...), append(av, latentRow...)
			for h := range qHeads {
				query := q[(i*qHeads+h)*a.QKDim:][:a.QKDim]
				for r := range rank {
					s := 0.0
					for d := range nope {
						s += query[d] * uk[(h*nope+d)*rank+r]
					}
					aq = append(aq, s)
				}
				aq = append(aq, query[nope:]...)
				ek = append(append(ek, times(uk[h*nope*rank:(h+1)*nope*rank], latentRow)...), sharedRow...)
				ev = append(ev, times(uv[h*a.VDim*rank:(h+1)*a.VDim*rank], latentRow)...)
			}
		}
		window := made.At(layer).Window
		for i := range n {
			for h := range qHeads {
				o = append(o, attended(q, ek, ev, i, h, qHeads, a.QKDim, a.VDim, window, a.Scale)...)
			}
		}
		latent.put(of+"o", o, n, qHeads, a.VDim)
		absorbed.put(of+"q", aq, n, qHeads, rank+shared)
		absorbed.put(of+"k", ak, n, 1, rank+shared)
		absorbed.put(of+"v", av, n, 1, rank)
		expanded.put(of+"q", q, n, qHeads, a.QKDim)
		expanded.put(of+"k", ek, n, qHeads, a.QKDim)
		expanded.put(of+"v", ev, n, qHeads, a.VDim)
	}
	open := func(f *safetensors, name string) *trace.Trace {
		out := filepath.Join(dir, name+".safetensors")
		f.write(t, out)
		return openTrace(t, out)
	}
	return latentTrace{open(latent, "latents"), open(absorbed, "absorbed"), open(expanded, "expanded")}
}

// bare is a file with the metadata alone.
func (f *safetensors) bare() *safetensors {
	meta := map[string]string{}
	for k, v := range f.meta {
		meta[k] = v
	}
	delete(meta, "rope_dims")
	meta["layers"] = strings.NewReplacer(`"rope_dims":32,`, "", `,"rope_dims":32`, "").Replace(meta["layers"])
	return &safetensors{meta, map[string][]int{}, map[string][]byte{}}
}

// floats are the numbers of a tensor.
func (f *safetensors) floats(name string) []float64 {
	b := f.tensors[name]
	out := make([]float64, len(b)/4)
	for i := range out {
		out[i] = float64(math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:])))
	}
	return out
}

// put makes a tensor.
func (f *safetensors) put(name string, x []float64, shape ...int) {
	var b []byte
	for _, v := range x {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(float32(v)))
	}
	f.shapes[name], f.tensors[name] = shape, b
}

// times is m x.
func times(m, x []float64) (out []float64) {
	for at := 0; at < len(m); at += len(x) {
		s := 0.0
		for c, v := range x {
			s += m[at+c] * v
		}
		out = append(out, s)
	}
	return out
}

// attended is what head h of token i puts out, of queries, keys and values [token][head][channels].
func attended(q, k, v []float64, i, h, heads, dim, vDim, window int, scale float64) []float64 {
	out, total := make([]float64, vDim), 0.0
	first := 0
	if window > 0 {
		first = max(0, i-window+1)
	}
	for j := first; j <= i; j++ {
		s := 0.0
		for d := range dim {
			s += q[(i*heads+h)*dim+d] * k[(j*heads+h)*dim+d]
		}
		p := math.Exp(s * scale)
		total += p
		for d := range out {
			out[d] += p * v[(j*heads+h)*vDim+d]
		}
	}
	for d := range out {
		out[d] /= total
	}
	return out
}

// run runs pipelines on a trace.
func runLatents(t *testing.T, tr *trace.Trace, specs ...string) []record.Record {
	t.Helper()
	return runCells(t, Options{Traces: headers(tr), Pipelines: parse(t, specs...), Lengths: []int{192}, Decode: new(24), Kept: true, Threads: 2})
}

// TestLatentOutputs: the reference of latents is attention over the keys and values that they stand for.
func TestLatentOutputs(t *testing.T) {
	tr := newLatentTrace(t, 4).latent
	if warnings, err := CheckOutputs(t.Context(), tr, tr.Layers, tr.Tokens, 0, nil); err != nil || warnings != nil {
		t.Errorf("%v %v", warnings, err)
	}
	for _, layer := range tr.Layers {
		p, err := newProof(tr, layer, tr.Tokens, tr.Queries, nil)
		if err != nil {
			t.Fatal(err)
		}
		if e := p.error(&p.attention, p.layer); !(e < 1e-6) {
			t.Errorf("layer %d: %g away from plain loops", layer, e)
		}
	}
}

// TestLatentPipelines: every pipeline treats latents as it treats the keys and values of one head that stand for them: it
// keeps the same entries and loses the same mass. What it stores is stored once, and what it puts out is an output of the
// model's own heads.
func TestLatentPipelines(t *testing.T) {
	traces := newLatentTrace(t, 4)
	specs := append([]string{"full"}, everything...)
	latent, absorbed := runLatents(t, traces.latent, specs...), runLatents(t, traces.absorbed, specs...)
	ran, full := 0, latent[0]
	if want := int64(2 * (64 + 32) * (192 + 3*48)); *full.CacheBytes != want || *full.CacheBytesFull != want || full.Error.RelL2 > 1e-3 {
		t.Errorf("full takes %d bytes, want %d; its error is %g", *full.CacheBytes, want, full.Error.RelL2)
	}
	if s := full.Shapes; len(s) != 4 || !s[0].Latent || s[3].QKDim != 64 || s[3].VDim != 24 || s[3].KVHeads != 1 {
		t.Errorf("shapes %+v", s)
	}
	for i, a := range latent {
		b := absorbed[i]
		shares := strings.Contains(a.Family, "sharing") || strings.Contains(a.Family, "latent") || a.Pipeline == "bestrank"
		if own := strings.Contains(a.Reason, "the model caches latents"); own != shares {
			t.Errorf("%s (%s): %s", a.Pipeline, a.Family, a.Reason)
		}
		if a.Status == record.Failed || b.Status == record.Failed {
			t.Errorf("%s: %s %s", a.Pipeline, a.Reason, b.Reason)
		}
		if a.Status != record.OK || b.Status != record.OK {
			continue
		}
		ran++
		if !reflect.DeepEqual(a.Kept, b.Kept) {
			t.Errorf("%s keeps %v, of one head %v", a.Pipeline, a.Kept, b.Kept)
		}
		if m, n := a.Error.Mass, b.Error.Mass; (m == nil) != (n == nil) || m != nil && math.Abs(*m-*n) > 1e-5 {
			t.Errorf("%s: mass %v, of one head %v", a.Pipeline, m, n)
		}
		if *a.CacheBytes >= *b.CacheBytes {
			t.Errorf("%s takes %d bytes, of one head with values of its own %d", a.Pipeline, *a.CacheBytes, *b.CacheBytes)
		}
		if r := a.Error.RelL2 / b.Error.RelL2; !(r > 0.4 && r < 3) { // one scale for latents and the larger shared keys, or scales of channels for what were values
			t.Errorf("%s: error %g, before the projection of outputs %g", a.Pipeline, a.Error.RelL2, b.Error.RelL2)
		}
	}
	if ran < 40 {
		t.Errorf("%d pipelines ran on both", ran)
	}
}

// TestLatentsExpanded: of one head the keys and values that latents stand for are another form of the same cache, in which
// methods that choose by attention or position choose the same, with the same loss.
func TestLatentsExpanded(t *testing.T) {
	traces := newLatentTrace(t, 1)
	specs := []string{"full", "streamingllm:budget=48", "snapkv:budget=48", "h2o:budget=48", "tova:budget=48", "oracle:budget=48", "random:budget=48", "int8", "quest:budget=48,page=8,dense=0"}
	latent, expanded := runLatents(t, traces.latent, specs...), runLatents(t, traces.expanded, specs...)
	for i, a := range latent {
		b, name := expanded[i], a.Pipeline
		if a.Status != record.OK || b.Status != record.OK {
			t.Errorf("%s: %s %s", name, a.Reason, b.Reason)
			continue
		}
		if !reflect.DeepEqual(a.Kept, b.Kept) || !reflect.DeepEqual(a.KeptFinal, b.KeptFinal) {
			t.Errorf("%s keeps other entries", name)
		}
		switch {
		case i == 0, name == "int8":
			if r := a.Error.RelL2 / b.Error.RelL2; !(r > 0.3 && r < 3) {
				t.Errorf("%s: error %g, expanded %g: other formats of the same size", name, a.Error.RelL2, b.Error.RelL2)
			}
		case strings.HasPrefix(name, "quest"): // pages are bounded by other channels
			if d := *a.Error.Mass - *b.Error.Mass; math.Abs(d) > 0.1 {
				t.Errorf("%s: mass %g, expanded %g", name, *a.Error.Mass, *b.Error.Mass)
			}
		default:
			if d := math.Abs(a.Error.RelL2 - b.Error.RelL2); d > 1e-3 {
				t.Errorf("%s: error %g, expanded %g", name, a.Error.RelL2, b.Error.RelL2)
			}
			if d := math.Abs(*a.Error.Mass - *b.Error.Mass); d > 1e-6 {
				t.Errorf("%s: mass %g, expanded %g", name, *a.Error.Mass, *b.Error.Mass)
			}
		}
	}
}

// TestTimedLatents times steps, whose projections the operations count, beside those of full's.
func TestTimedLatents(t *testing.T) {
	tr := newLatentTrace(t, 4).latent
	for _, rec := range runCells(t, Options{
		Traces: headers(tr), Pipelines: parse(t, "full", "int8", "streamingllm", "snapkv+int8", "h2o"), Lengths: []int{192}, Decode: new(16), Repeats: 20,
	}) {
		if rec.Status != record.OK || len(rec.Latency.StepNS) != 20 || rec.Latency.RatioToFull <= 0 {
			t.Errorf("%s: %s %s %+v", rec.Pipeline, rec.Status, rec.Reason, rec.Latency)
		}
	}
}

// TestLatentCauses makes mistakes that a latent layer invites, and wants them named.
func TestLatentCauses(t *testing.T) {
	path := filepath.Join(t.TempDir(), "latent.safetensors")
	turned := func(f *safetensors) {
		for layer := range 4 {
			name := fmt.Sprintf("layers.%d.q", layer)
			x := f.floats(name)
			for at := 0; at < len(x); at += 64 {
				copy(x[at:at+64], append(append([]float64(nil), x[at+32:at+64]...), x[at:at+32]...))
			}
			f.put(name, x, f.shapes[name]...)
		}
	}
	traces := newLatentTrace(t, 4)
	whole := filepath.Join(t.TempDir(), "whole.safetensors")
	if err := trace.Write(t.Context(), whole, traces.latent, "F32", nil); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		what, want string
		change     func(f *safetensors)
	}{
		{"the rotated part of q first", "with q with the channels first that read k_rope", turned},
		{"a window left out", "with window=48", func(f *safetensors) { f.without(t, "window") }},
		{"another scale", "with scale=0.125", func(f *safetensors) { f.meta["scale"] = "0.1" }},
		{"q heads first", "q lies heads first", func(f *safetensors) {
			for layer := range 4 {
				f.turn(fmt.Sprintf("layers.%d.q", layer))
			}
		}},
	} {
		f := readSafetensors(t, whole)
		tt.change(f)
		f.write(t, path)
		tr := openTrace(t, path)
		_, err := CheckOutputs(t.Context(), tr, tr.Layers, tr.Tokens, 64, nil)
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", tt.what, err, tt.want)
		}
	}
}
