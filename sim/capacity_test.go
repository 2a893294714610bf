package sim

import (
	"bufio"
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"

	"kvgauge/sim/arch"
	"kvgauge/sim/method"
	"kvgauge/sim/record"
)

// TestIdealHoldsWhatTensorsSay: of every configuration that is held against transformers, the full cache of the ideal
// engine is what its tensors add up to, with the whole window of layers that have one.
func TestIdealHoldsWhatTensorsSay(t *testing.T) {
	f, err := os.Open("arch/testdata/transformers.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	checked := 0
	for lines.Scan() {
		var c struct {
			Name   string          `json:"name"`
			Config json.RawMessage `json:"config"`
		}
		if err := json.Unmarshal(lines.Bytes(), &c); err != nil {
			t.Fatal(err)
		}
		m, err := arch.Read(c.Config)
		if err != nil {
			t.Fatalf("%s: %v", c.Name, err)
		}
		o := CapacityOptions{Model: m, Name: c.Name, DType: dtype(t, "f32"), Engine: Ideal, Batch: 1, Ranks: 1}
		p := planner{CapacityOptions: o, state: 4, full: fullPipeline(), shapes: shapes(m, c.Name, 1)}
		for _, n := range []int{8, 40, 100, 300} {
			got, err := p.ideal(nil, n)
			if want := held(m, n); err != nil || got != want {
				t.Errorf("%s at %d: %d bytes, %v, want %d", c.Name, n, got, err, want)
			}
		}
		checked++
	}
	if err := lines.Err(); err != nil || checked < 150 {
		t.Errorf("%d configurations, %v", checked, err)
	}
}

// held adds up tensors in 4 bytes.
func held(m arch.Model, n int) (bytes int64) {
	for _, l := range m.Layers {
		for _, x := range l.Tensors {
			rows := int64(x.Rows.Count(n, 0))
			switch x.Role {
			case arch.Key, arch.Value, arch.Latent, arch.Rotary:
				if x.Rows.Grow == arch.Ring {
					rows = int64(min(n, x.Rows.N))
				}
				if span := max(l.Window, l.Chunk); span > 0 {
					rows = min(rows, int64(span))
				}
			}
			bytes += x.Row * rows * int64(x.Type.Size(4))
		}
	}
	return bytes
}

func dtype(t testing.TB, name string) method.DType {
	t.Helper()
	i := slices.IndexFunc(method.DTypes(), func(d method.DType) bool { return d.Name == name })
	if i < 0 {
		t.Fatalf("no dtype %s", name)
	}
	return method.DTypes()[i]
}

// plan plans a preset.
func plan(t *testing.T, name string, change func(*CapacityOptions), specs ...string) []record.Capacity {
	t.Helper()
	m, err := OpenModel(name)
	if err != nil {
		t.Fatal(err)
	}
	o := CapacityOptions{
		Model: m.Model, Name: m.Name, Engine: Ideal, DType: dtype(t, "bf16"), Lengths: []int{131072}, Pipelines: parse(t, specs...), Batch: 1, Ranks: 1,
	}
	if change != nil {
		change(&o)
	}
	lines, err := Capacities(o)
	if err != nil {
		t.Fatal(err)
	}
	return lines
}

// TestFiguresThatTheFieldKnows: bytes a token, and what does not grow, in 16 bits.
func TestFiguresThatTheFieldKnows(t *testing.T) {
	tests := []struct {
		model            string
		perToken         float64
		constant, at128k int64
		source           string
	}{
		{"llama-3-8b", 131072, 0, 131072 * 131072, "32 layers x 8 KV heads x 128; Meta-Llama-3-8B: 256 MiB at 2,048 tokens in llama.cpp's log"},
		{"llama-2-7b", 524288, 0, 524288 * 131072, "32 x 32 heads x 128; KIVI's README: 2.05 GB at 4,196 tokens"},
		{"deepseek-v3", 70272, 0, 70272 * 131072, "61 layers x (512 + 64); DeepSeek-V3 report, table of its configuration"},
		{"gpt-oss-120b", 36864, 4718592, 36864*131072 + 4718592, "18 full layers of 36, 18 with windows of 128 tokens of 2,048 bytes"},
		{"gemma-3-27b", 81920, 436207616, 10737418240 + 436207616, "10 full layers of 62, 52 with windows of 1,024 tokens of 8,192 bytes"},
	}
	for _, tt := range tests {
		c := plan(t, tt.model, nil, "full")[0]
		if *c.GrowingBytesPerToken != tt.perToken || *c.ConstantBytes != tt.constant || *c.CacheBytes != tt.at128k {
			t.Errorf("%s: %v a token, %d constant, %d at 128k, want %v, %d, %d (%s)", tt.model, *c.GrowingBytesPerToken, *c.ConstantBytes, *c.CacheBytes, tt.perToken, tt.constant, tt.at128k, tt.source)
		}
	}
	if c := plan(t, "qwen3-next-80b-a3b", nil, "full")[0]; *c.GrowingBytesPerToken != 24576 || *c.ConstantBytes <= 0 {
		t.Errorf("qwen3-next-80b-a3b: %v a token, %d constant, want 24,576 and its states", *c.GrowingBytesPerToken, *c.ConstantBytes)
	}
}

// TestFormulas of methods-new.md N4 on Llama-3.1-8B: bytes of a long prompt's token.
func TestFormulas(t *testing.T) {
	want := map[string]float64{
		"full": 131072, "q8_0": 69632, "q4_0": 36864, "nvfp4": 36864, "int4pth": 34816, "fp8": 65536, "mqa": 16384, "cla": 65536,
		"turboquant:boundary=0,preset=k8v4": 50176, "turboquant:boundary=0": 34304, "turboquant:preset=k8v4": 60288, "turboquant": 46400,
		"kvarn": 27648, "snapkv:budget=25%": 32768, "snapkv:budget=2048": 0, "snapkv:budget=12.5%": 16384, "tova:budget=3.2%": 131072 * 0.032, "kivi": 32 * 8 * 2 * 48, "quest:budget=25%": 131072 + 131072/16,
	}
	var specs []string
	for spec := range want {
		specs = append(specs, spec)
	}
	for _, c := range plan(t, "llama-3.1-8b", nil, specs...) {
		if c.GrowingBytesPerToken == nil || *c.GrowingBytesPerToken != want[c.Pipeline] {
			t.Errorf("%s: %v bytes a token, want %v (%s)", c.Pipeline, c.GrowingBytesPerToken, want[c.Pipeline], c.Reason)
		}
	}
}

// TestPlansLeaveWindowsAlone: what drops entries does, and stored in a format as any other layer.
func TestPlansLeaveWindowsAlone(t *testing.T) {
	of := map[string]record.Capacity{}
	for _, c := range plan(t, "gpt-oss-120b", nil, "full", "snapkv:budget=25%", "fp8", "snapkv:budget=25%,scope=all") {
		of[c.Pipeline] = c
	}
	const growing, windows = 36864 * 131072, 4718592
	for name, want := range map[string]int64{
		"full": growing + windows, "snapkv:budget=25%": growing/4 + windows, "fp8": (growing + windows) / 2,
		"snapkv:budget=25%,scope=all": (growing + growing) / 4, // scope=all says what windows hold
	} {
		if c := of[name]; c.CacheBytes == nil || *c.CacheBytes != want {
			t.Errorf("%s: %v bytes, want %d (%s)", name, c.CacheBytes, want, c.Reason)
		}
	}
}

// TestWhatFits: the longest context fits and the next does not, and so many sequences and not one more.
func TestWhatFits(t *testing.T) {
	const memory, weights = int64(80) << 30, int64(16) << 30
	for _, e := range []string{Ideal, "vllm", "llama.cpp", "transformers"} {
		change := func(o *CapacityOptions) {
			o.Memory, o.Weights, o.Engine, o.Lengths, o.InFlight = memory, weights, e, []int{8192}, 8192
		}
		c := plan(t, "gemma-3-27b", change, "full")[0]
		for _, tt := range []struct {
			tokens, batch int64
			fits          bool
		}{{*c.MaxContext, 1, true}, {*c.MaxContext + 1, 1, false}, {8192, *c.MaxBatch, true}, {8192, *c.MaxBatch + 1, false}} {
			at := plan(t, "gemma-3-27b", func(o *CapacityOptions) {
				change(o)
				o.Lengths, o.Batch = []int{int(tt.tokens)}, int(tt.batch)
			}, "full")[0]
			if fits := *at.BatchBytes <= memory-weights; fits != tt.fits {
				t.Errorf("%s: %d sequences of %d tokens take %d bytes, of %d", e, tt.batch, tt.tokens, *at.BatchBytes, memory-weights)
			}
		}
	}
}

// TestSharesOfRecords stand for pipelines whose size depends on the content, and for no others.
func TestSharesOfRecords(t *testing.T) {
	n := func(x int64) *int64 { return &x }
	records := []record.Record{
		{Status: record.OK, Trace: "a", Pipeline: "corm", SeqLen: 512, CacheBytes: n(90), CacheBytesFull: n(100)},
		{Status: record.OK, Trace: "b", Pipeline: "corm", SeqLen: 1024, CacheBytes: n(60), CacheBytesFull: n(100)},
		{Status: record.OK, Trace: "b", Pipeline: "int8", SeqLen: 1024, CacheBytes: n(99), CacheBytesFull: n(100)},
	}
	lines := plan(t, "llama-3-8b", func(o *CapacityOptions) { o.Records = records }, "corm", "int8", "cake:budget=25%")
	full := int64(131072 * 131072)
	if c := lines[0]; c.CacheBytes == nil || *c.CacheBytes != full*6/10 || !strings.Contains(c.Note, "b had at 1024 tokens, 60.0 %") {
		t.Errorf("corm: %v bytes, note %q", c.CacheBytes, c.Note)
	}
	if c := lines[1]; c.CacheBytes == nil || *c.CacheBytes == full*99/100 || c.Note != "" {
		t.Errorf("int8: %v bytes, note %q: its size follows from its parameters", c.CacheBytes, c.Note)
	}
	if c := lines[2]; c.CacheBytes != nil || !strings.Contains(c.Reason, "--records") && !strings.Contains(c.Reason, record.Opt+"records") {
		t.Errorf("cake: %v bytes, reason %q", c.CacheBytes, c.Reason)
	}
}

// TestEnginesRefuseWhatTheyLack with the reason.
func TestEnginesRefuseWhatTheyLack(t *testing.T) {
	tests := []struct{ engine, spec, want string }{
		{"vllm", "snapkv:budget=25%", "has no such cache"},
		{"vllm", "q4_0", "has no such cache"},
		{"llama.cpp", "int4pth", "has no such cache"},
		{"transformers", "int8", "has no such cache"},
		{"vllm", "fp8", ""},
		{"llama.cpp", "q4_0", ""},
	}
	for _, tt := range tests {
		c := plan(t, "llama-3-8b", func(o *CapacityOptions) { o.Engine = tt.engine }, "full", tt.spec)[1]
		if (c.CacheBytes == nil) != (tt.want != "") || !strings.Contains(c.Reason, tt.want) {
			t.Errorf("%s, %s: %v bytes, reason %q, want %q", tt.engine, tt.spec, c.CacheBytes, c.Reason, tt.want)
		}
	}
}

// TestVLLMServes formats by the bytes of a token, head and layer that vLLM 0.33.0's own specs have: customize_spec of its
// backends, and slot_size_aligned of its TurboQuantConfig, of 128 channels.
func TestVLLMServes(t *testing.T) {
	want := map[string]int64{
		"full": 512, "fp8": 256, "int8pth": 264, "fp8pth": 264, "int4pth": 136, "nvfp4": 144,
		"turboquant:boundary=0,preset=k8v4": 196, "turboquant:boundary=0": 134, "turboquant:boundary=0,preset=k3v4_nc": 118, "turboquant:boundary=0,preset=3bit_nc": 102,
	}
	var specs []string
	for spec := range want {
		specs = append(specs, spec)
	}
	for _, c := range plan(t, "llama-3-8b", func(o *CapacityOptions) { o.Engine, o.Lengths = "vllm", []int{1} }, specs...) {
		if c.CacheBytes == nil || *c.CacheBytes != 16*32*8*want[c.Pipeline] {
			t.Errorf("%s: %v bytes a block, want %d (%s)", c.Pipeline, c.CacheBytes, 16*32*8*want[c.Pipeline], c.Reason)
		}
	}
}

// TestVLLMPadsBoundaryLayers: where some layers are left in 16 bits, vLLM 0.33.0 gives all layers of a model with windows
// pages as large as theirs, and more groups; its planner wants 20,307,247,104 bytes, more than without the format.
func TestVLLMPadsBoundaryLayers(t *testing.T) {
	want := map[string]int64{"full": 19301662720, "turboquant": 20307247104, "turboquant:boundary=0": 5051607040}
	for _, c := range plan(t, "gemma-3-27b", func(o *CapacityOptions) { o.Engine, o.InFlight = "vllm", 16384 }, "full", "turboquant", "turboquant:boundary=0") {
		if c.CacheBytes == nil || *c.CacheBytes != want[c.Pipeline] {
			t.Errorf("%s: %v bytes, vLLM plans %d (%s)", c.Pipeline, c.CacheBytes, want[c.Pipeline], c.Reason)
		}
	}
}
