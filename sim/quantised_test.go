package sim

import (
	"math"
	"strings"
	"testing"

	"kvgauge/sim/record"
	"kvgauge/sim/trace"
)

// TestQuantisedBytes holds the bytes of every format against its formula, per layer and KV head.
func TestQuantisedBytes(t *testing.T) {
	const decode = 16
	for _, name := range []string{"tiny", "gqa"} {
		tr := golden(t, name)
		layers, g, d := len(tr.Layers), tr.Attention[0].KVHeads, tr.Attention[0].QKDim
		blocks := (d + 31) / 32
		for _, n := range []int{33, 48, 96} {
			// KIVI with 16 tokens of residual in groups of 8: what is packed, and what waits.
			const residual, group, bits = 16, 8, 2
			packedK, packedV := n/residual*residual, max(0, n-residual)
			kivi := func(bits int) int {
				return (packedK+packedV)*(d*bits/8+4*d/group) + (2*n-packedK-packedV)*d*2
			}
			channel := func(group int) int { // one side of int4 with scales of channels
				whole := n / group
				return whole*(group*d/2+4*d) + (n-whole*group)*d*2
			}
			turbo := func(key, value int) int { return n * ((key + value + 1) / 2 * 2) }
			perHead := map[string]int{
				"f16": n * 4 * d, "bf16": n * 4 * d,
				"fp8": n * 2 * d, "fp8:format=e5m2,scale=token": n * 2 * (d + 2),
				"int4:group=16": n * 2 * (d/2 + 4*d/16), "int4:group=8": n * 2 * (d/2 + 4*d/8),
				"int4:axis=channel,group=8": 2 * channel(8), "int4:axis=channel,group=24": 2 * channel(24),
				"kivi:group=8,residual=16": kivi(2), "kivi:bits=4,group=8,residual=16": kivi(4),
				"int8pth": n * 2 * (d + 4), "fp8pth": n * 2 * (d + 4), "int4pth": n * 2 * (d/2 + 4),
				"mx4":                                  n * 2 * (d/2 + d/16),
				"turboquant:boundary=0":                turbo(d/2+2, d/2+4),
				"turboquant:boundary=0,preset=k8v4":    turbo(d, d/2+4),
				"turboquant:boundary=0,preset=3bit_nc": turbo(3*d/8+2, 3*d/8+4),
				// A bit of each code is a sign of the sketch: + d/8 for it and - d/8 for the codes, + 2 for the length.
				"turboquant:boundary=0,qjl=on":                turbo(d/2+4, d/2+4),
				"turboquant:boundary=0,preset=3bit_nc,qjl=on": turbo(3*d/8+4, 3*d/8+4),
				"turboquant:boundary=0,preset=k3v4_nc,qjl=on": turbo(3*d/8+4, d/2+4),
			}
			if d == 32 {
				perHead["q4_0:block=32"], perHead["q8_0:rotate=off"] = n*2*18*blocks, n*2*34*blocks
				perHead["mx4:block=32"] = n * 2 * (d/2 + d/32)
			}
			formulas := map[string]int{"nvfp4": layers * (g*n*2*(d/2+d/16) + 8)}
			for spec, bytes := range perHead {
				formulas[spec] = layers * g * bytes
			}
			formulas["turboquant:boundary=1"] = g * ((layers-2)*turbo(d/2+2, d/2+4) + 2*n*4*d)
			for spec, r := range cells(t, tr, n, decode, formulas) {
				if want := int64(formulas[spec]); r.Status != record.OK || *r.CacheBytes != want {
					t.Errorf("%s %s at %d: %s %s %d bytes, want %d", name, spec, n, r.Status, r.Reason, *r.CacheBytes, want)
				}
			}
		}
	}
}

// cells runs the pipelines that are the keys, without latency.
func cells(t *testing.T, tr *trace.Trace, n, decode int, specs map[string]int) map[string]record.Record {
	t.Helper()
	var list []string
	for s := range specs {
		list = append(list, s)
	}
	records := map[string]record.Record{}
	for _, r := range runCells(t, Options{Traces: headers(tr), Calibrate: itself(tr), Pipelines: parse(t, list...), Lengths: []int{n}, Decode: new(decode)}) {
		records[r.Pipeline] = r
		if r.CacheBytes == nil {
			t.Fatalf("%s: %s %s", r.Pipeline, r.Status, r.Reason)
		}
	}
	return records
}

// TestKIVIThresholds is around multiples of the residual, from a prompt below it on.
func TestKIVIThresholds(t *testing.T) {
	tr := golden(t, "tiny")
	const residual, d = 16, 16
	for n := 2; n <= 4*residual+1; n++ {
		r := runCells(t, Options{Traces: headers(tr), Pipelines: parse(t, "kivi:group=8,residual=16"), Lengths: []int{n}, Decode: new(min(5, n-1))})[0]
		packedK, packedV := n/residual*residual, max(0, n-residual)
		want := int64(len(tr.Layers) * tr.Attention[0].KVHeads * ((packedK+packedV)*(d/4+4*d/8) + (2*n-packedK-packedV)*d*2))
		if *r.CacheBytes != want {
			t.Errorf("%d tokens: %d bytes, want %d", n, *r.CacheBytes, want)
		}
		if full := r.Error.RelL2 < 1e-3; full != (n < residual || n == residual) {
			t.Errorf("%d tokens: rel_l2 %g", n, r.Error.RelL2)
		}
	}
}

// TestCompositionsStoreTheProduct: what a quantised stage leaves of what the stages before it leave is what it
// leaves of the whole.
func TestCompositionsStoreTheProduct(t *testing.T) {
	tr := golden(t, "gqa")
	const n, decode, d = 320, 32, 32
	cell := func(spec string) record.Record {
		return runCells(t, Options{Traces: headers(tr), Calibrate: itself(tr), Pipelines: parse(t, spec), Lengths: []int{n}, Decode: new(decode), Kept: true})[0]
	}
	for _, tt := range []struct {
		before, format string
		bytes          float64 // of an entry's key and value
	}{
		{"snapkv:budget=96", "nvfp4", 36},
		{"pyramidkv:budget=96", "int4", 40},
		{"mqa+cla", "int8pth", 72},
		{"mla:rank=32", "int4:group=32", 20},
		{"mqa+cla+snapkv:budget=64", "mx4", 36},
		{"streamingllm:budget=96", "q8_0:block=32", 68},
		{"corm:recent=16,window=16", "fp8", 64},
	} {
		plain, packed := cell(tt.before), cell(tt.before+"+"+tt.format)
		if packed.Status != record.OK {
			t.Errorf("%s: %s", packed.Pipeline, packed.Reason)
			continue
		}
		width := 128.0
		if strings.HasPrefix(tt.before, "mla") {
			width = 64
		}
		meta := float64(*plain.MetadataBytes)
		want := (float64(*plain.CacheBytes) - meta) * tt.bytes / width
		got := float64(*packed.CacheBytes) - meta
		if tt.format == "nvfp4" {
			want += 8 * 6
		}
		if strings.HasPrefix(tt.before, "corm") { // it goes on voting on what is stored
			if math.Abs(got-want) > 0.2*want {
				t.Errorf("%s: %g bytes, want about %g", packed.Pipeline, got, want)
			}
		} else if got != want {
			t.Errorf("%s: %g bytes, want %g", packed.Pipeline, got, want)
		}
	}
}

// TestDroppingFromGroups: a policy and a ring take entries out of packed groups; the bytes are those of the entries
// that are left, with the scales of the groups that are, and where those end.
func TestDroppingFromGroups(t *testing.T) {
	tr := golden(t, "gqa")
	for _, spec := range []string{"corm:recent=16,window=16+kivi:group=8,residual=16", "mqa+cla+corm:recent=16,window=16+kivi:group=8,residual=16", "streamingllm:recent=40+kivi:group=8,residual=16", "corm:recent=16,window=16+int4:axis=channel,group=8"} {
		r := runCells(t, Options{Traces: headers(tr), Pipelines: parse(t, spec), Lengths: []int{320}, Decode: new(64), Kept: true})[0]
		if r.Status != record.OK || math.IsNaN(r.Error.RelL2) {
			t.Fatalf("%s: %s %s", spec, r.Status, r.Reason)
		}
		entries, stores := 0, 0
		for _, heads := range r.KeptFinal {
			for _, pos := range heads {
				entries += len(pos)
				stores++
			}
		}
		if strings.Contains(spec, "cla") {
			entries, stores = entries/2, stores/2
		}
		d := int64(tr.Attention[0].QKDim)
		least := int64(entries) * d / 2                                                  // codes of 2 bits alone
		most := int64(entries)*(2*d+8) + int64(stores)*(3*16*4*d) + int64(stores)*64*9*d // windows and scales on top
		if *r.CacheBytes < least || *r.CacheBytes > most {
			t.Errorf("%s: %d bytes for %d entries, want %d to %d", spec, *r.CacheBytes, entries, least, most)
		}
		if plain := runCells(t, Options{Traces: headers(tr), Pipelines: parse(t, spec[:strings.LastIndex(spec, "+")]), Lengths: []int{320}, Decode: new(64)})[0]; *r.CacheBytes >= *plain.CacheBytes {
			t.Errorf("%s: %d bytes, %d without the format", spec, *r.CacheBytes, *plain.CacheBytes)
		}
	}
}

// TestQuantisedErrors: fewer bits, more error; the same on keys turned and not where the turn is exact; and
// nothing but the floor in 16 bits.
func TestQuantisedErrors(t *testing.T) {
	tr := openTrace(t, "smollm2")
	rel := map[string]float64{}
	specs := []string{
		"full", "f16", "bf16", "fp8", "fp8:scale=token", "fp8:format=e5m2", "int8", "int8pth", "q8_0", "q8_0:rotate=off", "int4", "int4:group=16", "int4:group=64", "kivi:bits=4", "kivi", "nvfp4", "nvfp4:fourover6=on", "mx4",
		"turboquant:boundary=0", "turboquant:boundary=0,preset=k3v4_nc", "turboquant:boundary=0,preset=3bit_nc",
		"turboquant:boundary=0,qjl=on", "turboquant:boundary=0,preset=3bit_nc,qjl=on",
	}
	for _, r := range runCells(t, Options{Traces: headers(tr), Pipelines: parse(t, specs...), Lengths: []int{512}, Decode: new(32)}) {
		if r.Status != record.OK {
			t.Fatalf("%s: %s", r.Pipeline, r.Reason)
		}
		rel[r.Pipeline] = r.Error.RelL2
	}
	for _, rising := range [][]string{
		{"f16", "bf16", "int8", "fp8", "fp8:format=e5m2"},
		{"int8", "int4:group=16", "int4", "int4:group=64"},
		{"kivi:bits=4", "kivi"},
		{"kivi:bits=4", "int4"},
		{"nvfp4:fourover6=on", "nvfp4", "mx4"},
		{"turboquant:boundary=0", "turboquant:boundary=0,preset=k3v4_nc", "turboquant:boundary=0,preset=3bit_nc"},
		// Why engines leave the sketch out: a softmax makes more of the variance than of the bias.
		{"turboquant:boundary=0", "turboquant:boundary=0,qjl=on"},
		{"turboquant:boundary=0,preset=3bit_nc", "turboquant:boundary=0,preset=3bit_nc,qjl=on"},
		{"q8_0", "int4"},
	} {
		for i := range rising[1:] {
			if a, b := rising[i], rising[i+1]; rel[a] >= rel[b] {
				t.Errorf("%s has error %g, %s %g", a, rel[a], b, rel[b])
			}
		}
	}
	if rel["f16"] != rel["full"] {
		t.Errorf("f16 has error %g, full %g", rel["f16"], rel["full"])
	}
	if a, b := rel["int8"], rel["int8pth"]; math.Abs(a-b) > 0.05*a {
		t.Errorf("int8 has error %g with f16 scales and %g with f32", a, b)
	}
}

// TestUnfitFormats: rows that a format cannot take are skipped with the reason.
func TestUnfitFormats(t *testing.T) {
	tests := []struct{ trace, spec, want string }{
		{"tiny", "kivi", "values of 16 channels are not whole groups of 32"},
		{"tiny", "q4_0", "rows of 16 channels are not whole blocks of 32"},
		{"tiny", "mx4:block=32", "rows of 16 channels are not whole blocks of 32"},
		{"tiny", "turboquant", "the first and the last 2 of 4 layers stay f16, which leaves none: choose boundary"},
		{"gqa", "q8_0", "rotate=on turns 64 channels or more, of which 32 are no multiple: choose block, or rotate=off"},
		{"gqa", "q8_0:block=64", "rows of 32 channels are not whole blocks of 64"},
		{"gqa", "mla:rank=40+int4pth", "a Hadamard rotation of whole rows needs a power of two, not 40 channels"},
		{"gqa", "mla:rank=32+turboquant:boundary=1,qjl=on", "qjl=on makes up for coarser codes in logits alone, but a latent row is values too: want qjl=off"},
		{"gqa", "mla:rank=40+nvfp4", "rows of 40 channels are not whole blocks of 16"},
		{"gqa", "mla:rank=16,rope=decoupled,rope_dim=16+int4pth", "a Hadamard rotation of 32 channels mixes the 16 that are values with the others"},
		{"gqa", "mla:rank=32,rope=pre+kivi", "keys that are rebuilt at every step need latent rows that are stored one by one, as they are"},
		{"gqa", "streamingllm:roll=on+int4pth", "roll=on rotates keys as they are read, which a Hadamard rotation has mixed"},
	}
	for _, tt := range tests {
		tr := golden(t, tt.trace)
		r := runCells(t, Options{Traces: headers(tr), Calibrate: itself(tr), Pipelines: parse(t, "full", tt.spec), Lengths: []int{96}, Decode: new(16)})[1]
		if r.Status != record.Skipped || r.Reason != tt.want {
			t.Errorf("%s on %s: %s %q, want %q", tt.spec, tt.trace, r.Status, r.Reason, tt.want)
		}
	}
}

// TestRollOverGroups: a rolled ring whose keys are packed reads them as one whose keys are not, but for the codes.
func TestRollOverGroups(t *testing.T) {
	tr := golden(t, "gqa")
	var rels []float64
	for _, spec := range []string{"streamingllm:roll=on", "streamingllm:roll=on+kivi:bits=4,group=8,residual=16", "streamingllm:roll=on+int4:axis=channel,group=8"} {
		r := runCells(t, Options{Traces: headers(tr), Pipelines: parse(t, spec), Lengths: []int{320}, Decode: new(64)})[0]
		rels = append(rels, r.Error.RelL2)
	}
	for _, e := range rels[1:] {
		if math.Abs(e-rels[0]) > 0.1*rels[0] {
			t.Errorf("errors %v", rels)
		}
	}
}

// TestKVarN: below its sinks it is full; a tile has the bytes of its formula, the rest f16.
func TestKVarN(t *testing.T) {
	tr := golden(t, "gqa")
	layers, g, d := len(tr.Layers), tr.Attention[0].KVHeads, tr.Attention[0].QKDim
	for _, tt := range []struct {
		spec         string
		keys, values int
		tile         int
	}{{"kvarn", 4, 2, 128}, {"kvarn:preset=k4v4_g128", 4, 4, 128}, {"kvarn:preset=k4v2_g64", 4, 2, 64}} {
		for _, n := range []int{100, 128, 191, 192, 255, 256, 320} {
			recs := runCells(t, Options{Traces: headers(tr), Pipelines: parse(t, "full", tt.spec), Lengths: []int{n}, Decode: new(16)})
			r, packed := recs[1], max(0, n-128)/tt.tile
			perTile := d*tt.tile*(tt.keys+tt.values)/8 + 2*(2*d+tt.tile) + 2*(d+2*tt.tile)
			if want := int64(layers * g * (packed*perTile + (n-packed*tt.tile)*4*d)); *r.CacheBytes != want {
				t.Errorf("%s at %d: %d bytes, want %d", tt.spec, n, *r.CacheBytes, want)
			}
			if n <= 128 && math.Abs(r.Error.RelL2-recs[0].Error.RelL2) > 2e-4 {
				t.Errorf("%s at %d: rel_l2 %g, full %g", tt.spec, n, r.Error.RelL2, recs[0].Error.RelL2)
			}
			if got := codes(r); (got == "mostly-unpacked") != (5*(n-packed*tt.tile) > n) {
				t.Errorf("%s at %d: warnings %q", tt.spec, n, got)
			}
		}
	}
}
