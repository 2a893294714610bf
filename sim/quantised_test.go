package sim

import (
	"fmt"
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
				"mx4":              n * 2 * (d/2 + d/16),
				"fp8:scale=tensor": n * 2 * d, "int8:scale=head": n*2*d + 8,
				"int8:block=8,scale=channel": 2 * (n/8*(8*d+2*d) + n%8*2*d), "fp8:block=8,scale=channel": 2 * (n/8*(8*d+2*d) + n%8*2*d),
				"openvino:block=8":                     n*d + (n+7)/8*8*d + n*(d+8),
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
				perHead["q4_1"], perHead["q5_0"], perHead["q5_1"], perHead["iq4_nl"] = n*2*20, n*2*22, n*2*24, n*2*18
				perHead["mlx:group=32"], perHead["mlx:bits=2,group=32"], perHead["mlx:bits=8,group=32"] = n*2*(16+4), n*2*(8+4), n*2*(32+4)
				const waits = decode % 10
				perHead["quanto:group=32,residual=10"] = (n-waits)*2*(16+4) + waits*2*2*d
				perHead["hqq:bits=2,group=32,residual=10"] = (n-waits)*2*(8+4) + waits*2*2*d
			}
			formulas := map[string]int{"nvfp4": layers * (g*n*2*(d/2+d/16) + 8)}
			for spec, bytes := range perHead {
				formulas[spec] = layers * g * bytes
			}
			formulas["fp8:scale=tensor"] += layers * 8
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
		{"gqa", "mla:rank=32+q8_0:v=q4_0", "v= gives values a format of their own, but a latent row is key and value at once"},
		{"gqa", "int8:v=kivi,v.group=64", "values of 32 channels are not whole groups of 64"},
		{"gqa", "mla:rank=32+turboquant:boundary=1,qjl=on", "qjl=on makes up for coarser codes in logits alone, but a latent row is values too: want qjl=off"},
		{"gqa", "mla:rank=40+nvfp4", "rows of 40 channels are not whole blocks of 16"},
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

// TestRotations: rows that a rotation does not fit are stored without, with a footnote; on takes the largest power of two
// that divides them, of latent rows their values too.
func TestRotations(t *testing.T) {
	tr := golden(t, "gqa")
	tests := []struct{ spec, like, note string }{
		{"q8_0", "q8_0:rotate=off", "rows of 32 channels are stored without a rotation, which takes multiples of 64; rotate=on turns 32 channels together"},
		{"q8_0:rotate=on", "q8_0:block=32", ""},
		{"q4_0:block=64", "q4_0:rotate=off", "rows of 32 channels are stored without a rotation, which takes multiples of block=64"},
		{"q4_0:block=64,rotate=on", "q4_0:rotate=off", "rows of 32 channels are stored without a rotation, which takes multiples of block=64"},
		{"int8:rotate=off", "int8", ""},
		{"int4pth:rotate=on", "int4pth", ""},
		{"mla:rank=40+int4pth", "mla:rank=40+int4pth:rotate=off", "rows of 40 channels are stored without a rotation, which takes powers of two; rotate=on turns 8 channels together"},
		{"mla:rank=16,rope=decoupled,rope_dim=16+int4pth", "mla:rank=16,rope=decoupled,rope_dim=16+int4pth:rotate=off", "rows of 32 channels are stored without a rotation, which takes powers of two; rotate=on turns 16 channels together"},
	}
	for _, tt := range tests {
		rs := runCells(t, Options{Traces: headers(tr), Calibrate: itself(tr), Pipelines: parse(t, tt.spec, tt.like), Lengths: []int{96}, Decode: new(16)})
		note := ""
		for _, w := range rs[0].Warnings {
			if w.Code == "not-rotated" {
				note += w.Text
			}
		}
		if rs[0].Status != record.OK || note != tt.note {
			t.Errorf("%s: %s %s, footnote %q, want %q", tt.spec, rs[0].Status, rs[0].Reason, note, tt.note)
			continue
		}
		if a, b := rs[0].Error.RelL2, rs[len(rs)-1].Error.RelL2; a != b {
			t.Errorf("%s: error %g, %s %g", tt.spec, a, tt.like, b)
		}
	}
	for _, spec := range []string{"int8:", "nvfp4:", "mla:rank=40+int8:", "kivi:group=8,residual=16,"} {
		rs := runCells(t, Options{Traces: headers(tr), Calibrate: itself(tr), Pipelines: parse(t, spec+"rotate=off", spec+"rotate=on"), Lengths: []int{96}, Decode: new(16)})
		if off, on := rs[0], rs[1]; off.Error.RelL2 == on.Error.RelL2 || *off.CacheBytes != *on.CacheBytes {
			t.Errorf("%s: error %g, %d bytes; %s: %g, %d", off.Pipeline, off.Error.RelL2, *off.CacheBytes, on.Pipeline, on.Error.RelL2, *on.CacheBytes)
		}
	}
}

// TestValuesApart: of keys in one format and values in another the bytes are half of each, and the errors of the two
// together are those of each with the other in f16.
func TestValuesApart(t *testing.T) {
	tr := golden(t, "gqa")
	cell := func(spec string) record.Record {
		r := runCells(t, Options{Traces: headers(tr), Pipelines: parse(t, spec), Lengths: []int{320}, Decode: new(64)})[0]
		if r.Status != record.OK {
			t.Fatalf("%s: %s", r.Pipeline, r.Reason)
		}
		return r
	}
	for _, pair := range []struct{ keys, params, values, own string }{
		{"q8_0", "", "q4_0", ""},
		{"q4_0", "block=32,", "q8_0", ",v.block=32"},
		{"int4", "axis=channel,group=8,", "fp8", ",v.scale=token"},
		{"fp8pth", "", "kivi", ",v.bits=4,v.group=8,v.residual=16"},
		{"nvfp4", "", "int4pth", ""},
		{"kvarn", "preset=k4v4_g64,", "mx4", ""},
		{"turboquant", "boundary=0,", "bf16", ""},
		{"int8", "", "turboquant", ",v.boundary=0,v.preset=3bit_nc"},
	} {
		both := cell(pair.keys + ":" + pair.params + "v=" + pair.values + pair.own)
		keys := cell(pair.keys + ":" + pair.params + "v=f16")
		values := cell("f16:v=" + pair.values + pair.own)
		f16 := cell("f16")
		if got, want := *both.CacheBytes, *keys.CacheBytes+*values.CacheBytes-*f16.CacheBytes; got != want {
			t.Errorf("%s: %d bytes, want %d", both.Pipeline, got, want)
		}
		if got, want := both.Error.RelL2, math.Hypot(keys.Error.RelL2, values.Error.RelL2); math.Abs(got-want) > 0.15*want {
			t.Errorf("%s: error %g, of its sides %g and %g", both.Pipeline, got, keys.Error.RelL2, values.Error.RelL2)
		}
	}
}

// TestClippedValues: a scale of the prompt cuts what later tokens have beyond its largest value, and the run says how many.
func TestClippedValues(t *testing.T) {
	tr := golden(t, "gqa")
	for spec, clips := range map[string]bool{"fp8:scale=tensor": true, "fp8:scale=head": true, "int8:scale=head": true, "fp8:scale=token": false, "fp8": false, "int8:block=8,scale=channel": false} {
		r := runCells(t, Options{Traces: headers(tr), Pipelines: parse(t, spec), Lengths: []int{64}, Decode: new(48)})[0]
		var cut, of int
		for _, w := range r.Warnings {
			if w.Code == "clamped" {
				if _, err := fmt.Sscanf(w.Text, "%d of %d stored values", &cut, &of); err != nil {
					t.Errorf("%s: %q: %v", spec, w.Text, err)
				}
			}
		}
		if (cut > 0) != clips || clips && of != 64*len(tr.Layers)*tr.Attention[0].KVHeads*64 {
			t.Errorf("%s: %d of %d values were cut: %v", spec, cut, of, r.Warnings)
		}
	}
}

// TestQuantisedAnew: what waits beside the rows of a prompt of 200, token by token, as transformers has it.
func TestQuantisedAnew(t *testing.T) {
	tr := golden(t, "gqa")
	perToken := len(tr.Layers) * tr.Attention[0].KVHeads
	for _, tt := range []struct{ decoded, quantised, waiting int }{{1, 200, 1}, {100, 200, 100}, {119, 200, 119}, {120, 320, 0}} {
		residual := 128
		if tt.waiting == 0 {
			residual = 120 // the trace has 320 tokens
		}
		r := runCells(t, Options{Traces: headers(tr), Pipelines: parse(t, fmt.Sprintf("quanto:group=32,residual=%d", residual)), Lengths: []int{200 + tt.decoded}, Decode: new(tt.decoded)})[0]
		// A step is counted before the window is quantised, and so is the cache of the last but for what was.
		if want := int64(perToken * (tt.quantised*2*20 + tt.waiting*4*32)); *r.CacheBytes != want {
			t.Errorf("%d decoded: %d bytes, want %d", tt.decoded, *r.CacheBytes, want)
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
