package record

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

// jsonl are records as a run writes them.
func jsonl(t testing.TB, records []Record) []byte {
	t.Helper()
	var b bytes.Buffer
	for _, r := range records {
		line, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		b.Write(append(line, '\n'))
	}
	return b.Bytes()
}

// sample are the records of two lengths: what was measured is made up.
func sample() []Record {
	n, peak, median := int64(589824), int64(600000), int64(21000)
	lo, hi, ratioLo, ratioHi := int64(20000), int64(22000), 0.9, 1.1
	var records []Record
	for _, length := range []int{128, 1024} {
		records = append(records, Record{
			Schema: Schema, Status: OK, Trace: "smollm2", TraceSHA256: strings.Repeat("ab", 32), Model: "m", Pipeline: "full", Family: "baseline",
			SeqLen: length, Decode: 16, Windows: 1, Layers: []int{0, 3}, NumLayers: 30, QHeads: new(9), KVHeads: new(3), HeadDim: new(64), Seed: 1,
			CacheBytes: &n, CacheBytesFull: &n, PeakBytes: &peak, Warnings: []Warning{}, Version: "v0.0.0-test",
			Error: &ErrorStats{RelL2: 0.25, Cosine: new(0.5), RelL2Layers: []float64{0.1, 0.4}, RelL2Quarters: []float64{}},
			Latency: &Latency{
				StepNS: []int64{20000, 21000, 22000}, FullStepNS: []int64{21000, 21000, 21000}, MedianNS: median, MeanNS: &median, LoNS: &lo, HiNS: &hi,
				RatioToFull: 1, RatioLo: &ratioLo, RatioHi: &ratioHi, CompressNS: new(int64(1)), Threads: 2, Kernel: "avx2",
			},
		})
	}
	return records
}

// TestReadShapes reads a record of unequal layers as it was written, and one of an earlier version, which has no such
// fields.
func TestReadShapes(t *testing.T) {
	r := sample()[0]
	r.KVHeads, r.HeadDim, r.VDim, r.ChangedLayers = nil, nil, new(32), new(2)
	r.Shapes = []Shape{{Layer: 0, QHeads: 9, KVHeads: 3, QKDim: 64, VDim: 32, Chunk: 16}, {Layer: 3, QHeads: 9, KVHeads: 1, QKDim: 48, VDim: 32, Latent: true}}
	got, err := Read(bytes.NewReader(jsonl(t, []Record{r})))
	if err != nil || !reflect.DeepEqual(got, []Record{r}) {
		t.Errorf("%v: %+v", err, got)
	}
	want := "layer=0 q_heads=9 kv_heads=3 qk_dim=64 v_dim=32 chunk=16/layer=3 q_heads=9 kv_heads=1 qk_dim=48 v_dim=32 latent"
	if text := FigureOf("shapes").Text(r); text != want {
		t.Errorf("as text %s, want %s", text, want)
	}
	old := sample()[:1]
	line := strings.Replace(string(jsonl(t, old)), `"v_dim":null,"changed_layers":null,`, "", 1)
	if strings.Contains(line, "v_dim") {
		t.Fatalf("the field is still there: %s", line)
	}
	if got, err := Read(strings.NewReader(line)); err != nil || !reflect.DeepEqual(got, old) {
		t.Errorf("earlier version: %v: %+v", err, got)
	}
}

// TestLoad reads a folder and its file, whole and cut short at any byte of its last line.
func TestLoad(t *testing.T) {
	records := sample()
	data := jsonl(t, records)
	dir := t.TempDir()
	file := filepath.Join(dir, RecordsFile)
	if err := os.WriteFile(file, data, 0o666); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{dir, file} {
		got, err := Load(path)
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, records) {
			t.Errorf("%s: records changed", path)
		}
	}
	last := bytes.LastIndexByte(data[:len(data)-1], '\n') + 1
	for cut := last; cut < len(data); cut++ {
		got, err := Read(bytes.NewReader(data[:cut]))
		want := len(records) - 1
		if cut == len(data)-1 {
			want++ // only the line feed is missing
		}
		if err != nil || len(got) != want {
			t.Fatalf("cut at byte %d of the last line: %d records, %v; want %d", cut-last, len(got), err, want)
		}
	}
}

func TestLoadMissing(t *testing.T) {
	dir := t.TempDir()
	for path, want := range map[string]string{
		filepath.Join(dir, "none"): "none: want a folder of a run or its records.jsonl: no such file or directory",
		dir:                        "records.jsonl: want the records of a run: no such file or directory",
	} {
		if _, err := Load(path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", path, err, want)
		}
	}
}

// TestLoadCut: of a run that its folder calls finished no record may be missing, not the torn last one either.
func TestLoadCut(t *testing.T) {
	dir := t.TempDir()
	f, err := NewFolder(dir, Manifest{Schema: Schema, Cells: 2}, Same)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range sample() {
		if err := f.Append(r); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(f.Finish(time.Now()), f.Close()); err != nil {
		t.Fatal(err)
	}
	if rs, err := Load(dir); err != nil || len(rs) != 2 {
		t.Fatalf("%d records, %v", len(rs), err)
	}
	path := filepath.Join(dir, RecordsFile)
	if err := os.Truncate(path, int64(len(jsonl(t, sample()))-9)); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(dir); err == nil || !strings.Contains(err.Error(), "records.jsonl: 1 whole record, want the 2 cells of the finished run") {
		t.Errorf("a cut file: %v", err)
	}
	if rs, err := Load(path); err != nil || len(rs) != 1 {
		t.Errorf("the file alone: %d records, %v", len(rs), err)
	}
}

// TestReadRefuses names the line and the field of everything that is no record of this schema.
func TestReadRefuses(t *testing.T) {
	shaped := sample()[:1]
	shaped[0].VDim, shaped[0].ChangedLayers = new(64), new(1)
	shaped[0].Shapes = []Shape{
		{Layer: 0, QHeads: 9, KVHeads: 3, QKDim: 64, VDim: 64, Window: 512},
		{Layer: 3, QHeads: 9, KVHeads: 3, QKDim: 64, VDim: 64},
	}
	good := string(jsonl(t, shaped))
	with := func(old, replacement string) string {
		changed := strings.Replace(good, old, replacement, 1)
		if changed == good {
			t.Fatalf("no %q in the record", old)
		}
		return changed
	}
	for _, c := range []struct{ name, data, want string }{
		{"empty", "", "no record in it, want at least one line"},
		{"only a torn line", good[:100], "no record in it, want at least one line"},
		{"blank line", good + "\n" + good, "line 2: empty, want a record"},
		{"torn line within", good[:100] + "\n" + good, "line 1: a record that does not end"},
		{"torn line that was ended", good + good[:100] + "\n", "line 2: a record that does not end"},
		{"not JSON", good + "half", "line 2: not a record: invalid character 'h'"},
		{"two on a line", strings.TrimSpace(good) + good, "line 1: more than one JSON value, want one record a line"},
		{"array", "[]\n", "line 1: record: array, want an object"},
		{"other schema", `{"schema":2,"status":7}` + "\n", "line 1: schema: 2, want 1"},
		{"no schema", with(`"schema":1,`, ""), "line 1: schema: 0, want 1"},
		{"unknown field", with(`"status"`, `"state":"ok","status"`), `line 1: not a record: json: unknown field "state"`},
		{"wrong type", with(`"seq_len":128`, `"seq_len":"128"`), "line 1: seq_len: string, want a whole number of 64 bits"},
		{"wrong type below", with(`"rel_l2":`, `"rel_l2":"x","cosine":`), "line 1: error.rel_l2: string, want a number of 64 bits"},
		{"fraction of a byte", with(`"cache_bytes":589824`, `"cache_bytes":1.5`), "line 1: cache_bytes: number 1.5, want a whole number of 64 bits"},
		{"infinity", with(`"rel_l2":`, `"rel_l2":1e999,"cosine":`), "line 1: error.rel_l2: number 1e999, want a number of 64 bits"},
		{"NaN", with(`"rel_l2":`, `"rel_l2":NaN,"cosine":`), "line 1: not a record: invalid character 'N'"},
		{"status", with(`"status":"ok"`, `"status":"fine"`), `line 1: status: "fine", want ok, skipped or failed`},
		{"no trace", with(`"trace":"smollm2"`, `"trace":""`), "line 1: trace: empty, want a name"},
		{"no pipeline", with(`"pipeline":"full"`, `"pipeline":""`), "line 1: pipeline: empty"},
		{"no family", with(`"family":"baseline"`, `"family":""`), "line 1: family: empty"},
		{"no length", with(`"seq_len":128`, `"seq_len":0`), "line 1: seq_len: 0, want at least 1"},
		{"long decode", with(`"decode":16`, `"decode":129`), "line 1: decode: 129, want 0 to seq_len 128"},
		{"no heads", with(`"q_heads":9`, `"q_heads":0`), "line 1: q_heads: 0, want 1 or more"},
		{"no width of values", with(`"v_dim":64`, `"v_dim":0`), "line 1: v_dim: 0, want 1 or more"},
		{"negative layers changed", with(`"changed_layers":1`, `"changed_layers":-1`), "line 1: changed_layers: -1, want 0 or more"},
		{"more layers changed than there are", with(`"changed_layers":1`, `"changed_layers":3`), "line 1: changed_layers: 3, want no more than the 2 layers"},
		{"shape of no layer", with(`"layer":3`, `"layer":2`), "line 1: shapes[1].layer: 2, want one of the layers 0,3"},
		{"shape twice", with(`"layer":3`, `"layer":0`), "line 1: shapes[1].layer: 0, want one after layer 0"},
		{"shape without width", with(`"qk_dim":64`, `"qk_dim":0`), "line 1: shapes[0].qk_dim: 0, want 1 or more"},
		{"negative window", with(`"window":512`, `"window":-1`), "line 1: shapes[0].window: -1, want 0 or more"},
		{"heads that do not divide", with(`"layer":0,"q_heads":9,"kv_heads":3`, `"layer":0,"q_heads":9,"kv_heads":2`), "line 1: shapes[0].kv_heads: 2, want a divisor of the 9 query heads"},
		{"unknown field of a shape", with(`"layer":0`, `"sinks":0,"layer":0`), `line 1: not a record: json: unknown field "sinks"`},
		{"negative bytes", with(`"peak_bytes":`, `"peak_bytes":-1,"schema":1,"peak_bytes":-`), "line 1: peak_bytes: -"},
		{"negative error", with(`"rel_l2":`, `"rel_l2":-`), "line 1: error.rel_l2: -"},
		{"error beyond any axis", with(`"rel_l2":`, `"rel_l2":1e308,"cosine":`), "line 1: error.rel_l2: 1e+308, want 0 to 1e+100"},
		{"interval beyond any axis", with(`"rel_l2_hi":null`, `"rel_l2_hi":1e308`), "line 1: error.rel_l2_hi: 1e+308, want 0 to 1e+100"},
		{"negative error of a layer", with(`"rel_l2_layers":[`, `"rel_l2_layers":[-1,`), "line 1: error.rel_l2_layers[0]: -1, want 0 to 1e+100"},
		{"ratio beyond any axis", with(`"ratio_to_full":`, `"ratio_to_full":1e308,"cold":true,"compress_ns":1,"mean_ns":`), "line 1: latency.ratio_to_full: 1e+308"},
		{"interval", with(`"lo_ns":`, `"lo_ns":9`), "line 1: latency.lo_ns: 9"},
		{"full's samples", with(`"full_step_ns":[`, `"full_step_ns":[1,`), "line 1: latency.full_step_ns: 4 samples, want one beside each of the 3 of step_ns"},
		{"ratio below its interval", with(`"ratio_lo":`, `"ratio_lo":9`), "line 1: latency.ratio_lo: 9"},
		{"ratio above its interval", with(`"ratio_hi":`, `"ratio_hi":-`), "line 1: latency.ratio_hi: -"},
		{"sample", with(`"step_ns":[`, `"step_ns":[-5,`), "line 1: latency.step_ns[0]: -5, want 0 or more"},
	} {
		t.Run(c.name, func(t *testing.T) {
			records, err := Read(strings.NewReader(c.data))
			if err == nil {
				t.Fatalf("%d records and no error", len(records))
			}
			if !strings.HasPrefix(err.Error(), c.want) {
				t.Errorf("got  %v\nwant %s", err, c.want)
			}
		})
	}
}

// endless is a file that never ends its first line.
type endless struct{}

func (endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}
	return len(p), nil
}

func TestReadLineLimit(t *testing.T) {
	b := bufio.NewReader(endless{})
	if _, _, err := readLine(b, 100_000); err == nil || err.Error() != "longer than 100000 bytes" {
		t.Errorf("error %v", err)
	}
}

// TestAbsentIsNotZero takes each measured figure out of a record in turn: it is null then, or the record is refused.
func TestAbsentIsNotZero(t *testing.T) {
	whole := sample()[0]
	whole.Error.RelL2P95, whole.Error.RelL2WorstLayer, whole.Error.MaxAbs = new(0.5), new(0.4), new(1.0)
	line := jsonl(t, []Record{whole})
	for _, f := range Figures {
		if f.Kind == Label || f.Value(whole) == nil {
			continue
		}
		for _, null := range []bool{false, true} {
			var fields map[string]any
			if err := json.Unmarshal(line, &fields); err != nil {
				t.Fatal(err)
			}
			in, name := fields, f.Name
			if part, of, ok := strings.Cut(name, "."); ok {
				in, name = fields[part].(map[string]any), of
			}
			if delete(in, name); null {
				in[name] = nil
			}
			without, err := json.Marshal(fields)
			if err != nil {
				t.Fatal(err)
			}
			got, err := Read(bytes.NewReader(append(without, '\n')))
			switch {
			case err != nil && !strings.Contains(err.Error(), f.Name+": absent, want a number"):
				t.Errorf("%s: %v", f.Name, err)
			case err == nil && f.Value(got[0]) != nil:
				t.Errorf("%s is absent and reads as %v", f.Name, *f.Value(got[0]))
			case err == nil && f.Text(got[0]) != "":
				t.Errorf("%s is absent and is written as %q", f.Name, f.Text(got[0]))
			}
		}
	}
}
