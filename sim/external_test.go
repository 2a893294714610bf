package sim

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"kvgauge/sim/record"
	"kvgauge/sim/trace"
)

// externalFile is the content of a file before it is written.
type externalFile struct {
	meta    map[string]string
	tensors map[string]externalTensorData
}

// externalTensorData is one tensor of int32, int64 or float32.
type externalTensorData struct {
	dtype string
	shape []int
	data  any
}

// encode writes the safetensors format.
func (f externalFile) encode(t testing.TB) []byte {
	t.Helper()
	header := map[string]any{"__metadata__": f.meta}
	var data bytes.Buffer
	for _, name := range slices.Sorted(maps.Keys(f.tensors)) {
		x := f.tensors[name]
		begin := data.Len()
		if err := binary.Write(&data, binary.LittleEndian, x.data); err != nil {
			t.Fatal(err)
		}
		header[name] = map[string]any{"dtype": x.dtype, "shape": x.shape, "data_offsets": []int{begin, data.Len()}}
	}
	text, err := json.Marshal(header)
	if err != nil {
		t.Fatal(err)
	}
	return append(append(binary.LittleEndian.AppendUint64(nil, uint64(len(text))), text...), data.Bytes()...)
}

// write puts the file into a folder of the test's own.
func (f externalFile) write(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "external.safetensors")
	if err := os.WriteFile(path, f.encode(t), 0o666); err != nil {
		t.Fatal(err)
	}
	return path
}

// exported is the file of the kept positions of a record.
func exported(rec record.Record) externalFile {
	f := externalFile{map[string]string{
		"format": "kvgauge-external", "version": "1", "trace_sha256": rec.TraceSHA256,
		"seq_len": fmt.Sprint(rec.SeqLen), "decode": fmt.Sprint(rec.Decode),
	}, map[string]externalTensorData{}}
	for i, heads := range rec.Kept {
		longest := 0
		for _, pos := range heads {
			longest = max(longest, len(pos))
		}
		var all []int32
		for _, pos := range heads {
			all = append(append(all, pos...), slices.Repeat([]int32{-1}, longest-len(pos))...)
		}
		f.tensors[fmt.Sprintf("layers.%d.kept", rec.Layers[i])] = externalTensorData{"I32", []int{len(heads), longest}, all}
	}
	return f
}

// reconstructed is the file of a trace's own rows, changed by a function.
func reconstructed(t *testing.T, tr *trace.Trace, n, decode int, declared string, change func(float32) float32) externalFile {
	t.Helper()
	hash, err := tr.Hash()
	if err != nil {
		t.Fatal(err)
	}
	f := externalFile{map[string]string{
		"format": "kvgauge-external", "version": "1", "trace_sha256": hash, "cache_bytes": declared,
		"seq_len": fmt.Sprint(n), "decode": fmt.Sprint(decode),
	}, map[string]externalTensorData{}}
	for _, layer := range tr.Layers {
		l, err := tr.Read(layer, n, 0)
		if err != nil {
			t.Fatal(err)
		}
		for kind, heads := range map[string][][]float32{"k": l.K, "v": l.V} {
			var rows []float32
			for i := range n {
				for _, head := range heads {
					for _, x := range head[i*tr.Attention[0].QKDim : (i+1)*tr.Attention[0].QKDim] {
						rows = append(rows, change(x))
					}
				}
			}
			f.tensors[fmt.Sprintf("layers.%d.%s", layer, kind)] = externalTensorData{"F32", []int{n, tr.Attention[0].KVHeads, tr.Attention[0].QKDim}, rows}
		}
	}
	return f
}

// openExternal opens files that must be right, under one name.
func openExternal(t *testing.T, name string, tr *trace.Trace, files ...externalFile) *External {
	t.Helper()
	x, err := NewExternal(name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = x.Close() })
	for _, f := range files {
		if err := x.Add(f.write(t), []*trace.Trace{tr}); err != nil {
			t.Fatal(err)
		}
	}
	return x
}

// TestExternalScoresAsItsMethod: kept positions from a record give that record again, ragged heads, repeated
// heads and the last token alone included.
func TestExternalScoresAsItsMethod(t *testing.T) {
	for _, name := range []string{"tiny", "gqa"} {
		tr := golden(t, name)
		for _, decode := range []int{0, 16} {
			o := Options{Traces: headers(tr), Lengths: []int{96}, Decode: new(decode), Kept: true}
			o.Pipelines = parse(t, "snapkv:budget=24", "pyramidkv:budget=24", "snapkv:budget=24,layout=query", "random:budget=20")
			for _, want := range runCells(t, o) {
				o := o
				o.Pipelines, o.Externals = nil, []*External{openExternal(t, "theirs", tr, exported(want))}
				got := runCells(t, o)[0]
				want.Pipeline, want.Family, want.Warnings = "theirs", "external", got.Warnings
				if !reflect.DeepEqual(got, want) {
					t.Errorf("%s decode=%d: got %+v, want %+v", name, decode, got, want)
				}
			}
		}
	}
}

// TestExternalHoldsNothingOfAHead: a head may have dropped all of its prompt.
func TestExternalHoldsNothingOfAHead(t *testing.T) {
	tr := golden(t, "tiny")
	o := Options{Traces: headers(tr), Lengths: []int{96}, Decode: new(16), Kept: true, Pipelines: parse(t, "snapkv:budget=24")}
	rec := runCells(t, o)[0]
	rec.Kept[1][0] = nil
	o.Pipelines, o.Externals = nil, []*External{openExternal(t, "theirs", tr, exported(rec))}
	got := runCells(t, o)[0]
	if got.Status != record.OK || *got.CacheBytes != *rec.CacheBytes-24*4*int64(tr.Attention[0].QKDim) || got.Error.RelL2 <= rec.Error.RelL2 {
		t.Errorf("%s %s: %d bytes, error %g; with the head %d, %g", got.Status, got.Reason, *got.CacheBytes, got.Error.RelL2, *rec.CacheBytes, rec.Error.RelL2)
	}
}

// TestExternalRows: reconstructed rows have the error that they bring, the declared bytes and no latency.
func TestExternalRows(t *testing.T) {
	tr := golden(t, "gqa")
	same := reconstructed(t, tr, 96, 16, "12345", func(x float32) float32 { return x })
	coarse := reconstructed(t, tr, 96, 16, "99", func(x float32) float32 { return float32(math.Round(float64(x)*4) / 4) })
	o := Options{Traces: headers(tr), Lengths: []int{96}, Decode: new(16), Repeats: 2, Kept: true}
	o.Externals = []*External{openExternal(t, "same", tr, same), openExternal(t, "coarse", tr, coarse)}
	recs := runCells(t, o)
	if e := recs[0].Error.RelL2; !(e < 1e-5) || *recs[0].CacheBytes != 12345 {
		t.Errorf("the trace's own rows: error %g, %d bytes", e, *recs[0].CacheBytes)
	}
	if e := recs[1].Error.RelL2; !(e > 1e-3 && e < 1) || *recs[1].CacheBytes != 99 {
		t.Errorf("rounded rows: error %g, %d bytes", e, *recs[1].CacheBytes)
	}
	for _, r := range recs {
		if codes(r) != "declared-bytes" || r.Latency != nil || r.PeakBytes != nil || r.TrafficBytes != nil || r.MetadataBytes != nil || r.Kept != nil || r.Error.Mass != nil {
			t.Errorf("%s: %+v", r.Pipeline, r)
		}
	}
}

// TestExternalElsewhere: on other lengths and traces the row is skipped with the reason.
func TestExternalElsewhere(t *testing.T) {
	tiny, gqa := golden(t, "tiny"), golden(t, "gqa")
	o := Options{Traces: headers(tiny), Lengths: []int{96}, Decode: new(16), Kept: true, Pipelines: parse(t, "snapkv:budget=24")}
	x := openExternal(t, "theirs", tiny, exported(runCells(t, o)[0]))
	recs := runCells(t, Options{Traces: headers(tiny, gqa), Lengths: []int{64, 96}, Decode: new(16), Externals: []*External{x}})
	for i, want := range []string{"the external result is one at 96 tokens", "", "the external result is one on trace", "the external result is one on trace"} {
		if recs[i].Reason != want {
			t.Errorf("%s at %d: %q, want %q", recs[i].Trace, recs[i].SeqLen, recs[i].Reason, want)
		}
	}
}

// keptAt are the files of a method's kept positions at some lengths.
func keptAt(t *testing.T, tr *trace.Trace, lengths ...int) map[int]externalFile {
	t.Helper()
	files := map[int]externalFile{}
	for _, r := range runCells(t, Options{Traces: headers(tr), Lengths: lengths, Decode: new(16), Kept: true, Pipelines: parse(t, "snapkv:budget=24")}) {
		files[r.SeqLen] = exported(r)
	}
	return files
}

// TestExternalLengths: the files of one name are one pipeline, whatever their order; lengths without a file are skipped.
func TestExternalLengths(t *testing.T) {
	tr := golden(t, "tiny")
	files := keptAt(t, tr, 64, 80, 96)
	o := Options{Traces: headers(tr), Lengths: []int{48, 64, 80, 96}, Decode: new(16), Pipelines: parse(t, "snapkv:budget=24")}
	o.Externals = []*External{openExternal(t, "theirs", tr, files[96], files[64], files[80])}
	recs := runCells(t, o)
	for i := 0; i < len(recs); i += 2 {
		want, got := recs[i], recs[i+1]
		want.Pipeline, want.Family, want.Warnings = "theirs", "external", got.Warnings
		if i == 0 {
			if want := "the external result is one at 64, 80 and 96 tokens"; got.Reason != want {
				t.Errorf("at 48: %q, want %q", got.Reason, want)
			}
		} else if !reflect.DeepEqual(got, want) {
			t.Errorf("at %d: got %+v, want %+v", want.SeqLen, got, want)
		}
	}
}

// TestExternalWindows: results on the windows give the record that the method itself has over as many.
func TestExternalWindows(t *testing.T) {
	tr := golden(t, "tiny")
	files := keptAt(t, tr, 96, 80, 64, 48)
	for _, c := range []struct {
		name    string
		lengths []int
		asked   int
		windows int
		clamped string
	}{
		{"each window", []int{96, 80, 64}, 3, 3, ""},
		{"the last is missing", []int{80, 96}, 3, 2, "2 windows of the 3 asked for: the next needs an external result at 64 tokens"},
		{"fewer than asked for", []int{48, 64, 80, 96}, 9, 4, "4 windows of the 9 asked for: the next would end below half the sequence, or before the trace's queries"},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := Options{Traces: headers(tr), Lengths: []int{96}, Decode: new(16), Windows: c.windows, Pipelines: parse(t, "snapkv:budget=24")}
			want := runCells(t, o)[0]
			var given []externalFile
			for _, n := range c.lengths {
				given = append(given, files[n])
			}
			o.Pipelines, o.Externals, o.Windows = nil, []*External{openExternal(t, "theirs", tr, given...)}, c.asked
			got := runCells(t, o)[0]
			clamped := ""
			for _, w := range got.Warnings {
				if w.Code == "clamped" {
					clamped = w.Text
				}
			}
			if clamped != c.clamped {
				t.Errorf("warned %q, want %q", clamped, c.clamped)
			}
			want.Pipeline, want.Family, want.Warnings = "theirs", "external", got.Warnings
			if !reflect.DeepEqual(got, want) {
				t.Errorf("got %+v, want %+v", got, want)
			}
		})
	}
}

// TestExternalWindowsOfRows averages the errors of reconstructed rows, too; bytes are those of the longest.
func TestExternalWindowsOfRows(t *testing.T) {
	tr := golden(t, "gqa")
	coarse := func(x float32) float32 { return float32(math.Round(float64(x)*4) / 4) }
	files := []externalFile{reconstructed(t, tr, 96, 16, "96", coarse), reconstructed(t, tr, 80, 16, "80", coarse)}
	o := Options{Traces: headers(tr), Lengths: []int{96, 80}, Decode: new(16), Externals: []*External{openExternal(t, "theirs", tr, files...)}}
	alone := runCells(t, o)
	o.Lengths, o.Windows = o.Lengths[:1], 2
	got := runCells(t, o)[0]
	if want := []float64{alone[0].Error.RelL2, alone[1].Error.RelL2}; !slices.Equal(got.Error.RelL2Windows, want) || *got.CacheBytes != 96 {
		t.Errorf("errors %v and %d bytes, want %v and 96", got.Error.RelL2Windows, *got.CacheBytes, want)
	}
}

// TestExternalOneName refuses files that are not of one pipeline.
func TestExternalOneName(t *testing.T) {
	tr := golden(t, "tiny")
	kept := keptAt(t, tr, 96, 80)
	rows := reconstructed(t, tr, 80, 16, "1", func(x float32) float32 { return x })
	for _, c := range []struct {
		name   string
		second externalFile
		want   string
	}{
		{"another length", kept[80], ""},
		{"the same length", kept[96], "metadata fields seq_len and decode: 96 and 16, as in "},
		{"another form", rows, "its tensors are reconstructed rows, those of "},
	} {
		t.Run(c.name, func(t *testing.T) {
			x := openExternal(t, "theirs", tr, kept[96])
			if err := x.Add(c.second.write(t), []*trace.Trace{tr}); (c.want == "") != (err == nil) || err != nil && !strings.HasPrefix(err.Error(), c.want) {
				t.Errorf("error %v, want one with %q", err, c.want)
			}
		})
	}
}

// TestExternalManifest lists the files of a name in the order of their lengths.
func TestExternalManifest(t *testing.T) {
	tr := golden(t, "tiny")
	files := keptAt(t, tr, 64, 96)
	o := Options{Traces: headers(tr), Lengths: []int{64, 96}, Decode: new(16), Threads: 1, MaxMemory: 1 << 30}
	o.Externals = []*External{openExternal(t, "theirs", tr, files[96], files[64])}
	var m record.Manifest
	if err := ready(t, o).Describe(&m, nil); err != nil {
		t.Fatal(err)
	}
	for i, n := range o.Lengths {
		want := record.ManifestTrace{Name: "theirs", SHA256: fmt.Sprintf("%x", sha256.Sum256(files[n].encode(t))), Source: fmt.Sprintf("%d tokens of %s, 16 decoded", n, tr.Name)}
		if len(m.External) != len(o.Lengths) || m.External[i] != want {
			t.Errorf("%+v, want %+v as number %d", m.External, want, i)
		}
	}
}

// TestExternalUnknown has a line for each field that says nothing.
func TestExternalUnknown(t *testing.T) {
	tr := golden(t, "tiny")
	o := Options{Traces: headers(tr), Lengths: []int{96}, Decode: new(16), Kept: true, Pipelines: parse(t, "snapkv:budget=24")}
	f := exported(runCells(t, o)[0])
	f.meta["cache_bytes"], f.meta["temperature"], f.meta["note"], f.meta["x_mine"] = "1000", "1", "n", "x"
	got := openExternal(t, "theirs", tr, f).Unknown()
	want := []string{
		"metadata field cache_bytes: of reconstructed rows alone, ignored",
		`metadata field "temperature": not a field of an external result, ignored`,
	}
	if len(got) != 2 || !strings.HasSuffix(got[0], want[0]) || !strings.HasSuffix(got[1], want[1]) {
		t.Errorf("ignored %q, want %q", got, want)
	}
}

// TestExternalRefused names the tensor or field that is wrong.
func TestExternalRefused(t *testing.T) {
	tr := golden(t, "tiny") // 4 layers of 4 heads
	kept := exported(runCells(t, Options{Traces: headers(tr), Lengths: []int{96}, Decode: new(16), Kept: true, Pipelines: parse(t, "snapkv:budget=9")})[0])
	i32 := func(shape []int, data ...int32) externalTensorData { return externalTensorData{"I32", shape, data} }
	i64 := func(shape []int, data ...int64) externalTensorData { return externalTensorData{"I64", shape, data} }
	set := func(name string, x externalTensorData) func(externalFile) {
		return func(f externalFile) { f.tensors[name] = x }
	}
	meta := func(field, text string) func(externalFile) { return func(f externalFile) { f.meta[field] = text } }
	rows := func(f externalFile) {
		for name, x := range reconstructed(t, tr, 96, 16, "1", func(x float32) float32 { return x }).tensors {
			f.tensors[name] = x
		}
		for l := range 4 {
			delete(f.tensors, fmt.Sprintf("layers.%d.kept", l))
		}
		f.meta["cache_bytes"] = "1000"
	}
	tests := []struct {
		name   string
		change func(externalFile)
		want   string
	}{
		{"no change", func(externalFile) {}, ""},
		{"misspelt field", func(f externalFile) { rows(f); f.meta["cache_byte"] = "1" }, `metadata field "cache_byte": unknown, did you mean cache_bytes?`},
		{"format", meta("format", "kvgauge-trace"), `metadata field format: "kvgauge-trace", want kvgauge-external`},
		{"version", meta("version", "2"), "metadata field version"},
		{"hash", meta("trace_sha256", "ab"), `metadata field trace_sha256: "ab", want that of a trace of this run (trace `},
		{"length", meta("seq_len", "97"), `metadata field seq_len: "97", want an integer from 1 to 96`},
		{"decode", meta("decode", "96"), "metadata field decode"},
		{"unknown tensor", set("layers.0.keep", i32([]int{1}, 1)), `tensor "layers.0.keep": unknown`},
		{"unknown layer", set("layers.4.kept", i32([]int{1}, 1)), "tensor layers.4.kept: the trace holds no layer 4"},
		{"no tensors", func(f externalFile) { clear(f.tensors) }, "no tensors"},
		{"both forms", set("layers.0.k", i32([]int{1}, 1)), "tensors layers.3.kept and layers.0.k: want kept positions or reconstructed rows, not both"},
		{"heads", set("layers.1.kept", i32([]int{2, 1}, 1, 2)), "tensor layers.1.kept: shape [2 1], want [4 KV heads, 1 to 80 positions]"},
		{"dimensions", set("layers.1.kept", i32([]int{4}, 1, 2, 3, 4)), "tensor layers.1.kept: shape [4]"},
		{"dtype", set("layers.1.kept", externalTensorData{"F32", []int{4, 1}, []float32{1, 2, 3, 4}}), "tensor layers.1.kept: dtype F32, want I32 or I64"},
		{"int64", set("layers.1.kept", i64([]int{4, 2}, 0, 79, 2, -1, -1, -1, 4, 5)), ""},
		{"int64 beyond int32", set("layers.1.kept", i64([]int{4, 1}, 1, 2, 1<<32|3, 4)), "tensor layers.1.kept: head 2: position 4294967299, want 0 to 79"},
		{"int64 below", set("layers.1.kept", i64([]int{4, 1}, 1, 2, 3, math.MinInt64)), "tensor layers.1.kept: head 3: position -9223372036854775808"},
		{"int64 padding", set("layers.1.kept", i64([]int{4, 2}, 1, 2, -1, 1<<40, 5, 6, 6, 7)), "tensor layers.1.kept: head 1: 1099511627776 after the padding"},
		{"range", set("layers.1.kept", i32([]int{4, 1}, 1, 2, 80, 4)), "tensor layers.1.kept: head 2: position 80, want 0 to 79"},
		{"negative", set("layers.1.kept", i32([]int{4, 1}, 1, 2, -2, 4)), "tensor layers.1.kept: head 2: position -2"},
		{"order", set("layers.1.kept", i32([]int{4, 2}, 1, 2, 2, 3, 5, 5, 6, 7)), "tensor layers.1.kept: head 2: position 5 after 5, want them to ascend"},
		{"padding", set("layers.1.kept", i32([]int{4, 2}, 1, 2, -1, 3, 5, 6, 6, 7)), "tensor layers.1.kept: head 1: 3 after the padding"},
		{"nothing decoded", func(f externalFile) {
			f.meta["decode"] = "0"
			f.tensors["layers.1.kept"] = i32([]int{4, 1}, 1, 2, -1, 4)
		}, "tensor layers.1.kept: head 2: no position"},
		{"rows", rows, ""},
		{"no bytes", func(f externalFile) { rows(f); delete(f.meta, "cache_bytes") }, "metadata field cache_bytes"},
		{"no values", func(f externalFile) { rows(f); delete(f.tensors, "layers.2.v") }, "tensor layers.2.v: missing"},
		{"shape of rows", func(f externalFile) {
			rows(f)
			f.tensors["layers.2.v"] = externalTensorData{"F32", []int{1, 1, 1}, []float32{1}}
		}, "tensor layers.2.v: shape [1 1 1], want [96 4 16]"},
		{"not finite", func(f externalFile) {
			rows(f)
			f.tensors["layers.2.v"].data.([]float32)[65] = float32(math.NaN())
		}, "tensor layers.2.v: token 1: head 0: channel 1: NaN, want a finite number"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := externalFile{maps.Clone(kept.meta), maps.Clone(kept.tensors)}
			tt.change(f)
			x := openExternal(t, "theirs", tr)
			err := x.Add(f.write(t), []*trace.Trace{tr})
			if got := fmt.Sprint(err); (tt.want == "") != (err == nil) || tt.want != "" && !strings.HasPrefix(got, tt.want) {
				t.Errorf("error %v, want one with %q", err, tt.want)
			}
		})
	}
	for _, name := range []string{"", "snapkv", "all", "a+b", "a:b", "-a", "a b"} {
		if _, err := NewExternal(name); err == nil {
			t.Errorf("the name %q is accepted", name)
		}
	}
}

// TestExternalPlan refuses a result that no cell of the run is for.
func TestExternalPlan(t *testing.T) {
	tr := golden(t, "tiny")
	byLength := keptAt(t, tr, 96, 80, 64)
	at := func(n int) externalFile { return byLength[n] }
	with := func(f externalFile, field, text string) externalFile {
		f.meta = maps.Clone(f.meta)
		f.meta[field] = text
		return f
	}
	less := func(f externalFile) externalFile {
		f.tensors = maps.Clone(f.tensors)
		delete(f.tensors, "layers.2.kept")
		return f
	}
	tests := []struct {
		name   string
		files  []externalFile
		change func(*Options)
		want   string
	}{
		{"length", []externalFile{at(96)}, func(o *Options) { o.Lengths = []int{64} }, "metadata field seq_len: 96, want one of the run's lengths (" + record.Opt + "lengths 96)"},
		{"decode", []externalFile{at(96)}, func(o *Options) { o.Decode = new(8) }, "metadata field decode: 16, want the run's 8"},
		{"layer", []externalFile{less(at(96))}, func(*Options) {}, "tensor layers.2.kept: missing"},
		{"windows", []externalFile{at(96)}, func(o *Options) { o.Windows = 2 }, "want option\u00a0windows 1, not 2, or under the same name another at 80 tokens"},
		{"windows with a gap", []externalFile{at(96), at(64)}, func(o *Options) { o.Windows = 3 }, "metadata field seq_len: 64, want one of the run's lengths, or of their windows"},
		{"windows without another", []externalFile{at(96), at(64), at(80)}, func(o *Options) { o.Windows = 2 }, "metadata field seq_len: 64"},
		{"a layer of a window", []externalFile{at(96), less(at(80))}, func(o *Options) { o.Windows = 2 }, "tensor layers.2.kept: missing"},
		{"decoded tokens of a window", []externalFile{at(96), with(at(80), "decode", "8")}, func(o *Options) { o.Windows = 2 }, "metadata field decode: 8, want the run's 16"},
		{"two lengths", []externalFile{at(96), at(64)}, func(o *Options) { o.Lengths = []int{64, 80, 96} }, ""},
		{"one of two lengths", []externalFile{at(96), at(64)}, func(*Options) {}, "metadata field seq_len: 64"},
		{"layer that is not measured", []externalFile{less(at(96))}, func(o *Options) { o.Layers = []int{0, 1} }, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o := Options{Traces: headers(tr), Lengths: []int{96}, Decode: new(16), Threads: 1, MaxMemory: 1 << 30}
			o.Externals = []*External{openExternal(t, "theirs", tr, tt.files...)}
			tt.change(&o)
			if _, err := NewPlan(o); (tt.want == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want one with %q", err, tt.want)
			}
		})
	}
}

// FuzzExternal wants an error or a result whose positions are in range, whatever the file holds.
func FuzzExternal(f *testing.F) {
	tr, err := trace.Open(filepath.Join("..", "testdata", "goldens", "tiny", "trace.safetensors"), trace.Options{})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = tr.Close() })
	hash, err := tr.Hash()
	if err != nil {
		f.Fatal(err)
	}
	meta := map[string]string{"format": "kvgauge-external", "version": "1", "trace_sha256": hash, "seq_len": "96", "decode": "16", "cache_bytes": "7"}
	f.Add(externalFile{meta, map[string]externalTensorData{"layers.0.kept": {"I32", []int{4, 2}, []int32{0, 1, 2, -1, 4, 5, 6, 79}}}}.encode(f))
	f.Add(externalFile{meta, map[string]externalTensorData{"layers.0.kept": {"I64", []int{4, 2}, []int64{0, 1, 2, -1, 4, 5, 6, 1<<32 | 7}}}}.encode(f))
	f.Add(externalFile{meta, map[string]externalTensorData{
		"layers.1.k": {"F32", []int{96, 4, 16}, make([]float32, 96*64)}, "layers.1.v": {"F32", []int{96, 4, 16}, make([]float32, 96*64)},
	}}.encode(f))
	f.Add([]byte("\x02\x00\x00\x00\x00\x00\x00\x00{}"))
	f.Fuzz(func(t *testing.T, data []byte) {
		file, err := trace.NewTensors(bytes.NewReader(data), int64(len(data)), func() error { return nil })
		if err != nil {
			return
		}
		x, err := newExternalResult("theirs", "theirs.safetensors", file, []*trace.Trace{tr})
		if err != nil {
			return
		}
		for layer, heads := range x.kept {
			for h, rows := range heads {
				for i, pos := range rows {
					if pos < 0 || int(pos) >= x.seqLen-x.decode || i > 0 && pos <= rows[i-1] {
						t.Fatalf("layer %d head %d: %v", layer, h, rows)
					}
				}
			}
		}
	})
}
