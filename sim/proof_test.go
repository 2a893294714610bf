package sim

import (
	"encoding/binary"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"kvgauge/sim/kernel"
	"kvgauge/sim/record"
	"kvgauge/sim/trace"
)

// broken is a copy of a model's trace with something wrong, of which its outputs tell.
func broken(t *testing.T, name string, change func(file *safetensors)) *trace.Trace {
	t.Helper()
	f := readSafetensors(t, filepath.Join("..", "testdata", "goldens", "attention", name+".safetensors"))
	change(f)
	path := filepath.Join(t.TempDir(), name+".safetensors")
	f.write(t, path)
	return openTrace(t, path)
}

// safetensors is a file of F32 tensors in memory.
type safetensors struct {
	meta    map[string]string
	shapes  map[string][]int
	tensors map[string][]byte
}

func readSafetensors(t *testing.T, path string) *safetensors {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	n := int(raw[0]) | int(raw[1])<<8 | int(raw[2])<<16
	var header map[string]json.RawMessage
	if err := json.Unmarshal(raw[8:8+n], &header); err != nil {
		t.Fatal(err)
	}
	f := &safetensors{map[string]string{}, map[string][]int{}, map[string][]byte{}}
	for name, text := range header {
		var x struct {
			Shape   []int  `json:"shape"`
			Offsets [2]int `json:"data_offsets"`
		}
		if name == "__metadata__" {
			err = json.Unmarshal(text, &f.meta)
		} else if err = json.Unmarshal(text, &x); err == nil {
			f.shapes[name], f.tensors[name] = x.Shape, raw[8+n+x.Offsets[0]:8+n+x.Offsets[1]]
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return f
}

func (f *safetensors) write(t *testing.T, path string) {
	t.Helper()
	header, data := map[string]any{"__metadata__": f.meta}, []byte(nil)
	for name, x := range f.tensors {
		header[name] = map[string]any{"dtype": "F32", "shape": f.shapes[name], "data_offsets": [2]int{len(data), len(data) + len(x)}}
		data = append(data, x...)
	}
	text, err := json.Marshal(header)
	if err != nil {
		t.Fatal(err)
	}
	n := len(text)
	raw := append([]byte{byte(n), byte(n >> 8), byte(n >> 16), 0, 0, 0, 0, 0}, append(text, data...)...)
	if err := os.WriteFile(path, raw, 0o600); err != nil {
		t.Fatal(err)
	}
}

// without takes fields out of all layers.
func (f *safetensors) without(t *testing.T, fields ...string) {
	t.Helper()
	var layers map[string]map[string]any
	if err := json.Unmarshal([]byte(f.meta["layers"]), &layers); err != nil {
		t.Fatal(err)
	}
	for _, l := range layers {
		for _, field := range fields {
			delete(l, field)
		}
	}
	text, err := json.Marshal(layers)
	if err != nil {
		t.Fatal(err)
	}
	f.meta["layers"] = string(text)
}

// turn lays the rows of a tensor out heads first, and leaves its shape.
func (f *safetensors) turn(name string) {
	s, x := f.shapes[name], f.tensors[name]
	row := 4 * s[2]
	out := make([]byte, 0, len(x))
	for h := range s[1] {
		for i := range s[0] {
			at := (i*s[1] + h) * row
			out = append(out, x[at:at+row]...)
		}
	}
	f.tensors[name] = out
}

// reverse turns the order of heads around in all tensors of some kinds.
func (f *safetensors) reverse(kinds ...string) {
	for name, x := range f.tensors {
		if !slices.Contains(kinds, name[strings.LastIndex(name, ".")+1:]) {
			continue
		}
		s := f.shapes[name]
		var out []byte
		for tokens := range slices.Chunk(x, 4*s[1]*s[2]) {
			heads := slices.Collect(slices.Chunk(tokens, 4*s[2]))
			slices.Reverse(heads)
			out = append(out, slices.Concat(heads...)...)
		}
		f.tensors[name] = out
	}
}

// TestOutputsOfModels: the outputs of models are what attention over their rows gives.
func TestOutputsOfModels(t *testing.T) {
	for _, name := range models {
		tr, _ := modelTrace(t, name)
		if warnings, err := CheckOutputs(t.Context(), tr, tr.Layers, tr.Tokens, 0, nil); err != nil || warnings != nil {
			t.Errorf("%s: %v %v", name, warnings, err)
		}
	}
}

// TestCauses makes each of the usual mistakes, and wants it named.
func TestCauses(t *testing.T) {
	tests := []struct {
		model, what, want string
		change            func(f *safetensors)
	}{
		{"mistral_sliding", "a window left out", "with window=24", func(f *safetensors) { f.without(t, "window") }},
		{"gemma3_text", "a scale left out", "with scale=0.2236", func(f *safetensors) { f.without(t, "scale") }},
		{"gemma2", "a soft cap left out", "with softcap=3", func(f *safetensors) { f.without(t, "softcap") }},
		{"gpt_oss", "sinks left out", "sinks", func(f *safetensors) {
			for name := range f.tensors {
				if strings.HasSuffix(name, ".sinks") {
					delete(f.tensors, name)
				}
			}
		}},
		{"mistral_sliding", "KV heads in another order", "h mod KV heads", func(f *safetensors) {
			for name, x := range f.tensors {
				if !strings.HasSuffix(name, ".q") && !strings.HasSuffix(name, ".o") {
					continue
				}
				s := f.shapes[name]
				row := 4 * s[2]
				out := slices.Clone(x)
				for i := range s[0] { // query heads 0 1 2 3 that read 0 0 1 1 become 0 2 1 3 that read 0 1 0 1
					copy(out[(i*4+1)*row:(i*4+2)*row], x[(i*4+2)*row:])
					copy(out[(i*4+2)*row:(i*4+3)*row], x[(i*4+1)*row:(i*4+2)*row])
				}
				f.tensors[name] = out
			}
		}},
		{"llama4", "a chunk left out", "with chunk=80 (or another by which one begins at token 80)", func(f *safetensors) { f.without(t, "chunk") }},
		{"mistral_sliding", "keys and values reversed", "with KV heads in reverse order in k and v", func(f *safetensors) { f.reverse("k", "v") }},
		{"mistral_sliding", "queries reversed", "with heads in reverse order in q", func(f *safetensors) { f.reverse("q") }},
		{"mistral_sliding", "outputs reversed", "with heads in reverse order in the outputs", func(f *safetensors) { f.reverse("o") }},
		{"mistral_sliding", "axes transposed", "axes transposed: q, k and v lie heads first", func(f *safetensors) {
			for name := range f.tensors {
				if !strings.HasSuffix(name, ".o") {
					f.turn(name)
				}
			}
		}},
		{"gemma2", "values of another text", "neither transposed axes", func(f *safetensors) {
			for i := range f.tensors["layers.0.v"] {
				f.tensors["layers.0.v"][i] = f.tensors["layers.1.k"][i]
			}
		}},
	}
	for _, tt := range tests {
		t.Run(tt.what, func(t *testing.T) {
			tr := broken(t, tt.model, tt.change)
			_, err := CheckOutputs(t.Context(), tr, tr.Layers, tr.Tokens, provedQueries, nil)
			if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), "tensor layers.") {
				t.Errorf("error %v, want %q", err, tt.want)
			}
		})
	}
}

// TestCauseSlopes: ALiBi slopes that a trace does not hold are found, here those of outputs made with them.
func TestCauseSlopes(t *testing.T) {
	tr := broken(t, "mistral_sliding", func(f *safetensors) { f.without(t, "window") })
	p, err := newProof(tr, 0, tr.Tokens, tr.Queries, nil)
	if err != nil {
		t.Fatal(err)
	}
	a := p.attention
	a.ALiBi = []float64{0.5, 0.25, 0.03, 0.0625}
	for h := range p.outputs {
		q, k, v := p.layer.Reading(&a, h, p.first, p.n), p.layer.K[h/2], p.layer.V[h/2]
		logits, lse := kernel.LogitsExact(q, a.KeyDim(), a.Rule(h), k, nil, kernel.Sights(p.first, p.n))
		p.outputs[h] = kernel.WeightedSumExact(logits, lse, a.VDim, v)
	}
	got, err := p.cause(tr, 0)
	if want := "it is what they are with slopes from 0.5 to 0.03 (a tensor layers.N.alibi)"; err != nil || got != want {
		t.Errorf("%s, %v, want %s", got, err, want)
	}
}

// TestPercent has no exponents.
func TestPercent(t *testing.T) {
	for x, want := range map[float64]string{0.02: "2 %", 0.00634: "0.63 %", 0.123: "12 %", 1.234: "120 %", 45678: "4600000 %"} {
		if got := percent(x); got != want {
			t.Errorf("%v: %s, want %s", x, got, want)
		}
	}
}

// TestDoubts warns of outputs that are a little off, and of KV heads that are copies.
func TestDoubts(t *testing.T) {
	tr := broken(t, "mistral_sliding", func(f *safetensors) {
		var layers map[string]map[string]any
		if err := json.Unmarshal([]byte(f.meta["layers"]), &layers); err != nil {
			t.Fatal(err)
		}
		layers["0"]["scale"] = 0.2535
		text, _ := json.Marshal(layers)
		f.meta["layers"] = string(text)
		for _, kind := range []string{"k", "v"} { // a head twice
			name := "layers.1." + kind
			s, x := f.shapes[name], f.tensors[name]
			for i := range s[0] {
				copy(x[(i*2+1)*4*s[2]:(i*2+2)*4*s[2]], x[i*2*4*s[2]:])
			}
		}
		delete(f.tensors, "layers.1.o")
	})
	recs := runCells(t, Options{Traces: headers(tr), Pipelines: parse(t, "full"), Lengths: []int{tr.Tokens}, Decode: new(20)})
	if got := codes(recs[0]); !strings.Contains(got, "repeated-heads") || !strings.Contains(got, "outputs-differ") {
		t.Errorf("warnings %s: %v", got, recs[0].Warnings)
	}
}

// TestBeyondF16: values that f16 cannot hold are refused with the pipeline that holds them, which is timed, too; values
// that it rounds to nothing are warned of.
func TestBeyondF16(t *testing.T) {
	scaled := func(factor float32) *trace.Trace {
		return broken(t, "mistral_sliding", func(f *safetensors) {
			f.without(t, "window")
			for name, x := range f.tensors {
				if strings.HasSuffix(name, ".o") {
					delete(f.tensors, name)
				}
				if !strings.HasSuffix(name, ".v") {
					continue
				}
				for i := 0; i < len(x); i += 4 {
					v := math.Float32frombits(binary.LittleEndian.Uint32(x[i:]))
					binary.LittleEndian.PutUint32(x[i:], math.Float32bits(v*factor))
				}
			}
		})
	}
	o := Options{Pipelines: parse(t, "full", "snapkv:budget=40", "snapkv:budget=40+bf16"), Decode: new(20), Repeats: 3}
	for factor, want := range map[float32][3]string{1e7: {"; bf16 holds it", "; snapkv:budget=40+bf16 holds it", ""}, 1e-7: {}} {
		tr := scaled(factor)
		o.Traces, o.Lengths = headers(tr), []int{tr.Tokens}
		for i, rec := range runCells(t, o) {
			if !strings.HasSuffix(rec.Reason, want[i]) || (rec.Status == record.OK) != (want[i] == "") {
				t.Errorf("values times %g: %s: %s %q, want %q", factor, rec.Pipeline, rec.Status, rec.Reason, want[i])
			}
			if warned := strings.Contains(codes(rec), "f16-underflow"); warned != (factor < 1) {
				t.Errorf("values times %g: %s: warnings %q", factor, rec.Pipeline, codes(rec))
			}
		}
	}
}
