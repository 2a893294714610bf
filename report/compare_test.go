package report

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"kvgauge/sim/record"
)

// cells are records of two pipelines at two lengths, in which everything is measured.
func cells() []record.Record {
	var all []record.Record
	for _, n := range []int{256, 1024} {
		for _, pipeline := range []string{"full", "snapkv:budget=25%"} {
			bytes, meta, mass, recall := int64(n*100), int64(n), 0.9, 1.0
			all = append(all, record.Record{
				Schema: record.Schema, Status: record.OK, Trace: "t", TraceSHA256: "abc", Model: "m", Pipeline: pipeline, Family: "eviction",
				SeqLen: n, Decode: 32, Windows: 1, Layers: []int{0, 1}, Seed: 1, Version: "1",
				CacheBytes: &bytes, CacheBytesFull: &bytes, MetadataBytes: &meta, PagedBytes: &bytes, WeightBytes: &meta, PeakBytes: &bytes, TrafficBytes: &bytes,
				Error: &record.ErrorStats{RelL2: 0.2, RelL2P95: new(0.4), RelL2WorstLayer: new(0.3), Cosine: new(0.98), MaxAbs: new(1.5), Mass: &mass, Recall: &recall},
				Kept:  [][][]int32{{{0, 1, 5}, {2, 3, 4}}, {{0, 1, 2}, {7, 8, 9}}},
			})
		}
	}
	return all
}

// edited is a copy of cells in which the second one (snapkv at 256) is changed.
func edited(t *testing.T, edit func(*record.Record)) []record.Record {
	t.Helper()
	data, err := json.Marshal(cells())
	if err != nil {
		t.Fatal(err)
	}
	var all []record.Record
	if err := json.Unmarshal(data, &all); err != nil {
		t.Fatal(err)
	}
	edit(&all[1])
	return all
}

func ptr[T any](v T) *T { return &v }

func TestCompareFindsEachKind(t *testing.T) {
	for _, c := range []struct {
		name    string
		edit    func(*record.Record)
		verdict Verdict // none: no change at all
		kind    string
		text    string
	}{
		{"nothing", func(*record.Record) {}, "", "", ""},
		{"one byte", func(r *record.Record) { *r.CacheBytes++ }, Regression, "bytes", "25,601 B, was 25,600 B (+0.004 %)"},
		{"metadata", func(r *record.Record) { *r.MetadataBytes *= 2 }, Regression, "bytes", "512 B, was 256 B (+100 %)"},
		{"weights from nothing", func(r *record.Record) { r.WeightBytes = nil }, Regression, "bytes", "not measured, was 256 B"},
		{"fewer bytes", func(r *record.Record) { *r.TrafficBytes /= 2 }, Improvement, "bytes", "(-50.0 %)"},
		{"error within 1 %", func(r *record.Record) { r.Error.RelL2 *= 1.009 }, Allowed, "error", "(+0.180 points, +0.900 %)"},
		{"error above 1 %", func(r *record.Record) { r.Error.RelL2 *= 1.011 }, Regression, "error", "20.2 %, was 20.0 % (+0.220 points, +1.10 %)"},
		{"worst layer", func(r *record.Record) { *r.Error.RelL2WorstLayer *= 2 }, Regression, "error", "60.0 %, was 30.0 % (+30.0 points, +100 %)"},
		{"rounding", func(r *record.Record) { r.Error.RelL2 += 9e-6 }, "", "", ""},
		{"smaller error", func(r *record.Record) { *r.Error.RelL2P95 /= 2 }, Improvement, "error", "(-20.0 points, -50.0 %)"},
		{"mass: the loss counts", func(r *record.Record) { *r.Error.Mass = 0.89 }, Regression, "error", "89.0 %, was 90.0 % (-1.00 points, loss +10.0 %)"},
		{"more mass", func(r *record.Record) { *r.Error.Mass = 0.95 }, Improvement, "error", "(+5.00 points, loss -50.0 %)"},
		{"a needle lost", func(r *record.Record) { *r.Error.Recall = 0.9 }, Regression, "error", "90.0 %, was 100 % (-10.0 points)"},
		{"cosine", func(r *record.Record) { *r.Error.Cosine = 0.97 }, Regression, "error", "97.0 %, was 98.0 % (-1.00 points, loss +50.0 %)"},
		{"late mass is not judged", func(r *record.Record) { r.Error.LateMass = ptr(1.0) }, "", "", ""},
		{"no error", func(r *record.Record) { r.Error = nil }, Regression, "error", "not measured, was 20.0 %"},
		{"kept", func(r *record.Record) { r.Kept[1][1][0] = 6 }, Regression, "kept", "entry 1 of the layers, head 1: 1 position gone (such as 7), 1 come (such as 6)"},
		{"kept of one run only", func(r *record.Record) { r.Kept = nil }, "", "", ""},
		{"skipped", func(r *record.Record) { r.Status, r.Reason = record.Skipped, "too\nsmall" }, Regression, "skipped", "was ok: too small"},
		{"failed", func(r *record.Record) { r.Status, r.Reason = record.Failed, "NaN" }, Regression, "failed", "was ok: NaN"},
		{"version", func(r *record.Record) { r.Version = "2" }, "", "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := Compare(Side{Records: cells()}, Side{Records: edited(t, c.edit)}, Limits{Error: 0.01})
			if err != nil {
				t.Fatal(err)
			}
			if c.verdict == "" {
				if len(got.Changes) > 0 {
					t.Fatalf("%+v, want no change", got.Changes)
				}
				return
			}
			// A cell without errors loses all of its error figures, one of whose changes is looked at.
			if len(got.Changes) == 0 {
				t.Fatal("no change was found")
			}
			ch := got.Changes[0]
			if ch.Verdict != c.verdict || ch.Kind != c.kind || !strings.Contains(ch.Text, c.text) || ch.SeqLen != 256 || ch.Pipeline != "snapkv:budget=25%" {
				t.Errorf("%+v, want a %s of %s: %s", ch, c.verdict, c.kind, c.text)
			}
			if want := c.verdict == Regression; got.Regressions > 0 != want {
				t.Errorf("%d regressions", got.Regressions)
			}
		})
	}
}

// TestCompareNeverMatchesOthers: rows of another trace, model, seed, length or layers are other cells.
func TestCompareNeverMatchesOthers(t *testing.T) {
	for name, edit := range map[string]func(*record.Record){
		"trace": func(r *record.Record) { r.TraceSHA256 = "other" }, "model": func(r *record.Record) { r.Model = "other" },
		"seed": func(r *record.Record) { r.Seed = 2 }, "layers": func(r *record.Record) { r.Layers = []int{0} },
		"decode": func(r *record.Record) { r.Decode = 16 }, "windows": func(r *record.Record) { r.Windows = 2 },
		"length": func(r *record.Record) { r.SeqLen = 512 }, "pipeline": func(r *record.Record) { r.Pipeline = "mqa" },
	} {
		for _, allow := range []bool{false, true} {
			c, err := Compare(Side{Records: cells()}, Side{Records: edited(t, edit)}, Limits{AllowMissing: allow})
			if err != nil {
				t.Fatal(err)
			}
			want := 2 // missing and new
			if allow {
				want = 0
			}
			if c.Matched != 3 || len(c.Changes) != 2 || c.Changes[0].Kind != "missing" || c.Changes[1].Kind != "new" || c.Regressions != want {
				t.Errorf("%s: %d matched, %d regressions, %+v", name, c.Matched, c.Regressions, c.Changes)
			}
			if name == "trace" && !strings.Contains(c.Changes[0].Text, "its trace of that name is another (sha256)") {
				t.Errorf("trace: %s", c.Changes[0].Text)
			}
		}
	}
}

func TestCompareRefusesDoubles(t *testing.T) {
	twice := append(cells(), cells()[0])
	if _, err := Compare(Side{Records: twice}, Side{Records: cells()}, Limits{}); err == nil || err.Error() != "old run: two records of one cell: full on t at 256 tokens" {
		t.Error(err)
	}
	if _, err := Compare(Side{Records: cells()}, Side{Records: twice}, Limits{}); err == nil || !strings.HasPrefix(err.Error(), "new run: two records") {
		t.Error(err)
	}
	if _, err := Compare(Side{Records: cells()}, Side{Records: cells()}, Limits{Latency: ptr(0.1)}); err == nil || !strings.HasPrefix(err.Error(), "latency: no cell has samples") {
		t.Error(err)
	}
}

// timed gives each cell a latency of n steps around ratio, with noise of the given share.
func timed(r *rand.Rand, ratio func(record.Record) float64, share float64, n int) []record.Record {
	all := cells()
	for i := range all {
		l := &record.Latency{MedianNS: 100_000, RatioToFull: ratio(all[i]) * (1 + share*r.NormFloat64())}
		for range n {
			l.StepNS = append(l.StepNS, int64(100_000*(1+share*r.NormFloat64())))
		}
		all[i].Latency = l
	}
	return all
}

// TestRatios: samples of a single run are ratios to those of full beside them.
func TestRatios(t *testing.T) {
	r := measured("snapkv", "eviction", 500, 0.1)
	r.Latency = &record.Latency{MedianNS: 100, RatioToFull: 0.5, StepNS: []int64{90, 100, 300}, FullStepNS: []int64{180, 200, 600}}
	want := []float64{0.5, 0.5, 0.5} // the machine was busy for the third
	if got := (Side{Records: []record.Record{r}}).ratios()[r.Key()]; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	r.Latency.FullStepNS = nil // of an earlier version
	if got := (Side{Records: []record.Record{r}}).ratios()[r.Key()]; !slices.Equal(got, []float64{0.45, 0.5, 1.5}) {
		t.Errorf("without full's samples: %v", got)
	}
}

// TestCompareLatency tells slower cells from noise, between single runs and between repeated ones.
func TestCompareLatency(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	same := func(record.Record) float64 { return 0.5 }
	slower := func(by float64) func(record.Record) float64 {
		return func(r record.Record) float64 {
			if r.Pipeline != "full" && r.SeqLen == 1024 {
				return 0.5 * by
			}
			return 0.5
		}
	}
	repeated := func(ratio func(record.Record) float64, share float64) Side {
		s := Side{Records: timed(r, ratio, share, 10)}
		for range 5 {
			s.Again = append(s.Again, timed(r, ratio, share, 10))
		}
		return s
	}
	count := func(a, b Side) int {
		t.Helper()
		c, err := Compare(a, b, Limits{Latency: ptr(0.1)})
		if err != nil {
			t.Fatal(err)
		}
		if c.Timed != 4 {
			t.Fatalf("%d cells timed", c.Timed)
		}
		return c.Regressions
	}
	alarms := 0
	for range 50 {
		alarms += count(repeated(same, 0.05), repeated(same, 0.05))
		alarms += count(Side{Records: timed(r, same, 0.02, 10)}, Side{Records: timed(r, same, 0.02, 10)})
	}
	if alarms > 0 {
		t.Errorf("%d false alarms in 100 comparisons of equals", alarms)
	}
	if n := count(repeated(same, 0.02), repeated(slower(1.3), 0.02)); n != 1 {
		t.Errorf("30 %% slower: %d regressions in repeated runs, want 1", n)
	}
	if n := count(repeated(same, 0.005), repeated(slower(1.08), 0.005)); n != 0 {
		t.Errorf("8 %% slower: %d regressions, want 0: below the limit and the floor", n)
	}
	if n := count(Side{Records: timed(r, same, 0.02, 10)}, Side{Records: timed(r, slower(2.5), 0.02, 10)}); n != 1 {
		t.Errorf("2.5 times slower: %d regressions in single runs, want 1", n)
	}
	// Without --max-latency nobody looks.
	c, err := Compare(Side{Records: timed(r, same, 0, 10)}, Side{Records: timed(r, slower(9), 0, 10)}, Limits{})
	if err != nil || len(c.Changes) > 0 {
		t.Errorf("%+v, %v", c, err)
	}
}

// TestChangeTexts: what changed is to be read, however small it is.
func TestChangeTexts(t *testing.T) {
	bytes, error := record.FigureOf("cache_bytes"), record.FigureOf("error.rel_l2")
	for _, c := range []struct {
		figure   record.Figure
		old, now float64
		want     string
	}{
		{bytes, 32768, 16384, " (-50.0 %)"},
		{bytes, 3981312001, 3981312000, " (down by less than 0.001 %)"},
		{bytes, 3981312000, 3981312001, " (up by less than 0.001 %)"},
		{error, 0.1, 0.2, " (+10.0 points, +100 %)"},
		{error, 0.1, 0.1000001, " (up by less than 0.001 points, up by less than 0.001 %)"},
	} {
		if got := differenceText(c.figure, c.old, c.now, growth(c.old, c.now)); got != c.want {
			t.Errorf("%s, was %v: %q, want %q", exactText(c.figure.Unit, c.now), c.old, got, c.want)
		}
	}
	if got := exactText(record.Byte, 3981312001); got != "3,981,312,001 B" {
		t.Error(got)
	}
}

// TestComparisonFormats writes names that would break each format.
func TestComparisonFormats(t *testing.T) {
	nasty := edited(t, func(r *record.Record) { r.Status, r.Reason = record.Failed, "a|b \x1b[31m]]> <x> \x00 \uffff \xff" })
	for i := range nasty {
		nasty[i].Trace = "t|\x07<&>"
		nasty[i].TraceSHA256 = "other"
	}
	if _, err := Compare(Side{Records: cells()}, Side{Records: nasty}, Limits{}); err == nil || !strings.HasPrefix(err.Error(), "no cell in common: ") {
		t.Errorf("nothing in common: %v", err)
	}
	common := cells()[0]
	common.Pipeline = "common"
	c, err := Compare(Side{Records: append(cells(), common)}, Side{Records: append(nasty, common)}, Limits{})
	if err != nil {
		t.Fatal(err)
	}
	for _, format := range ComparisonFormats() {
		var b bytes.Buffer
		if err := WriteComparison(&b, c, format); err != nil {
			t.Fatal(err)
		}
		if i := bytes.IndexFunc(b.Bytes(), func(r rune) bool { return r < ' ' && r != '\n' && r != '\t' || r == 0x7f }); i >= 0 && format != "json" {
			t.Errorf("%s: control character at byte %d", format, i)
		}
		switch format {
		case "table", "markdown":
			if !strings.Contains(b.String(), "8 regressions") {
				t.Errorf("%s: %s", format, b.String())
			}
		case "json":
			var back Comparison
			if err := json.Unmarshal(b.Bytes(), &back); err != nil || back.Regressions != 8 || len(back.Changes) != 8 {
				t.Errorf("%v, %+v", err, back)
			}
		case "junit":
			failures := checkJUnit(t, b.Bytes())
			if failures != 8 {
				t.Errorf("%d failures", failures)
			}
		}
	}
}

func TestLoadSide(t *testing.T) {
	dir := t.TempDir()
	write := func(path string, records []record.Record) {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, path)), 0o777); err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		for _, r := range records {
			line, _ := json.Marshal(r)
			fmt.Fprintf(&b, "%s\n", line)
		}
		if err := os.WriteFile(filepath.Join(dir, path), b.Bytes(), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	write("many/1/records.jsonl", cells())
	write("many/2/records.jsonl", cells())
	write("many/notes/x.txt", nil)
	write("mixed/1/records.jsonl", cells())
	write("mixed/2/records.jsonl", edited(t, func(r *record.Record) { *r.CacheBytes++ }))
	if s, err := LoadSide(filepath.Join(dir, "many")); err != nil || len(s.Records) != 4 || len(s.Again) != 1 {
		t.Errorf("%+v, %v", s, err)
	}
	if s, err := LoadSide(filepath.Join(dir, "many", "1", "records.jsonl")); err != nil || len(s.Records) != 4 || s.Again != nil {
		t.Errorf("%+v, %v", s, err)
	}
	for path, want := range map[string]string{
		"mixed":      "no repetition of",
		"many/notes": "want a run or repetitions of one",
		"nowhere":    "want a folder of a run",
	} {
		if _, err := LoadSide(filepath.Join(dir, path)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", path, err, want)
		}
	}
}

// TestCompareNothingMeasured: two runs that measured no cell both are no comparison, unless the new one is to blame and
// that fails.
func TestCompareNothingMeasured(t *testing.T) {
	skip := func(records []record.Record) []record.Record {
		for i := range records {
			records[i].Status, records[i].Reason = record.Skipped, "too\nsmall"
			records[i].Error = nil
		}
		return records
	}
	partly := cells()
	skip(partly[1:])
	for _, c := range []struct {
		name     string
		old, now []record.Record
		allow    bool
		err      string
	}{
		{"skipped in both", skip(cells()), skip(cells()), false, "no cell was measured in both runs: full on t at 256 tokens was skipped in the old one: too small"},
		{"skipped in both, allowed", skip(cells()), skip(cells()), true, "no cell was measured in both runs"},
		{"newly skipped", cells(), skip(cells()), false, ""},
		{"newly skipped, allowed", cells(), skip(cells()), true, "full on t at 256 tokens was skipped in the new one"},
		{"recovered", skip(cells()), cells(), false, "full on t at 256 tokens was skipped in the old one"},
		{"skipped in common, others missing", append(skip(cells())[:2], cells()[2]), skip(cells())[:2], false, "no cell was measured in both runs"},
		{"one measured", partly, partly, true, ""},
	} {
		got, err := Compare(Side{Records: c.old}, Side{Records: c.now}, Limits{AllowMissing: c.allow})
		switch {
		case c.err == "" && err != nil:
			t.Errorf("%s: %v", c.name, err)
		case c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)):
			t.Errorf("%s: %v, want %q", c.name, err, c.err)
		case c.name == "newly skipped" && got.Regressions != 4:
			t.Errorf("%s: %d regressions", c.name, got.Regressions)
		case c.name == "one measured" && (got.Measured != 1 || !strings.Contains(got.verdict(), "4 in both runs, 1 measured in both")):
			t.Errorf("%s: %s", c.name, got.verdict())
		}
	}
}

// TestCompareNewFigure tells of a figure that the old run lacks, which nothing can be worse than.
func TestCompareNewFigure(t *testing.T) {
	c, err := Compare(Side{Records: edited(t, func(r *record.Record) { r.WeightBytes = nil })}, Side{Records: cells()}, Limits{})
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Changes) != 1 || c.Changes[0].Verdict != Allowed || c.Changes[0].Text != "256 B, was not measured" || c.Changes[0].Old != nil || *c.Changes[0].New != 256 {
		t.Errorf("%+v", c.Changes)
	}
}

// TestCompareTwins: cells of two traces of one name are told apart in tables, and are other test cases in JUnit.
func TestCompareTwins(t *testing.T) {
	twins := func(bytes int64) []record.Record {
		all := cells()
		for _, r := range cells() {
			r.TraceSHA256 = "def"
			*r.CacheBytes += bytes
			all = append(all, r)
		}
		return all
	}
	c, err := Compare(Side{Records: twins(0)}, Side{Records: twins(1)}, Limits{})
	if err != nil {
		t.Fatal(err)
	}
	for format, want := range map[string]string{"table": "t [sha256 def]", "markdown": `t \[sha256 def\]`, "junit": `classname="t [sha256 abc].256"`} {
		var b bytes.Buffer
		if err := WriteComparison(&b, c, format); err != nil || !strings.Contains(b.String(), want) {
			t.Errorf("%s: %v: no %s in it:\n%s", format, err, want, b.String())
		}
		if format == "junit" && checkJUnit(t, b.Bytes()) != 4 {
			t.Errorf("failures in %s", b.String())
		}
	}
}

// jenkins are the elements of junit-10.xsd of Jenkins' xUnit plugin (3.1) that comparisons may use: their attributes,
// whether these must be there, and the elements in them.
var jenkins = map[string]struct {
	required, optional, children []string
}{
	"testsuites": {nil, []string{"name", "time", "tests", "failures", "errors"}, []string{"testsuite"}},
	"testsuite": {
		[]string{"name", "tests", "failures", "errors"},
		[]string{"group", "time", "skipped", "timestamp", "hostname", "id", "package", "file", "log", "url", "version"},
		[]string{"testsuite", "properties", "testcase", "system-out", "system-err"},
	},
	"testcase": {[]string{"name"}, []string{"time", "classname", "group"}, []string{"skipped", "error", "failure", "system-out", "system-err"}},
	"skipped":  {nil, []string{"type", "message"}, nil},
	"failure":  {nil, []string{"type", "message"}, nil},
}

// checkJUnit holds a document against the schema and counts its failures. Each test case must have a name of its own.
func checkJUnit(t *testing.T, doc []byte) (failures int) {
	t.Helper()
	var open []string
	seen := map[string]bool{}
	for d := xml.NewDecoder(bytes.NewReader(doc)); ; {
		token, err := d.Token()
		if err == io.EOF {
			return failures
		}
		if err != nil {
			t.Fatal(err)
		}
		switch token := token.(type) {
		case xml.StartElement:
			name := token.Name.Local
			rule, ok := jenkins[name]
			if !ok || len(open) == 0 && name != "testsuites" || len(open) > 0 && !slices.Contains(jenkins[open[len(open)-1]].children, name) {
				t.Errorf("element %s in %v", name, open)
			}
			attrs := map[string]string{}
			for _, a := range token.Attr {
				attrs[a.Name.Local] = a.Value
				if !slices.Contains(slices.Concat(rule.required, rule.optional), a.Name.Local) {
					t.Errorf("element %s has an attribute %s", name, a.Name.Local)
				}
			}
			for _, a := range rule.required {
				if _, ok := attrs[a]; !ok {
					t.Errorf("element %s lacks the attribute %s", name, a)
				}
			}
			if key := attrs["classname"] + " " + attrs["name"]; name == "testcase" {
				if seen[key] {
					t.Errorf("two test cases %s", key)
				}
				seen[key] = true
			}
			if name == "failure" {
				failures++
			}
			open = append(open, name)
		case xml.EndElement:
			open = open[:len(open)-1]
		}
	}
}
