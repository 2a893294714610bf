package report

import (
	"bytes"
	"encoding/json"
	"image/color"
	"image/png"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"kvgauge/sim/trace"
	"kvgauge/sim/trace/stats"
)

// statsSubject is a trace and statistics with every kind of figure: all of layer 4, few of layer 7.
func statsSubject() (*trace.Trace, *stats.Stats) {
	v := func(x float64) *float64 { return &x }
	spectrum := func(dims90, dims99 float64) *stats.Spectrum {
		return &stats.Spectrum{Dims90: dims90, Dims99: dims99, Ranks: []int{1, 2, 4, 6}, Energy: []float64{0.5, 0.7, 0.95, 1}}
	}
	returns := &stats.Returns{
		Queries: 900, ImportantKeys: 12.34, ImportantMass: 0.91, Events: 2000, Unknown: 3,
		EventsOver64: v(0.021), EventsOver256: v(0.0042), MassOver64: 0.013, MassOver256: 0.00071,
	}
	for i := range 12 {
		share := 1 / float64(int(2)<<i)
		returns.Octaves = append(returns.Octaves, stats.Octave{From: 1 << i, To: 2<<i - 1, Events: int(2000 * share), Share: share, Mass: share / 3})
	}
	returns.Octaves[11].Share *= 2
	full := stats.Figures{
		SinkMass: v(0.36), Sink4Mass: v(0.37), EntropyBits: v(4.44), HeavyMass: v(0.81), LocalMass: v(0.5), QueryCosine: v(0.85),
		KeyDims: 2, ValueDims: 3, KeyCosine64: v(0.04), ValueCosine64: v(-0.04), AttentionSimilarity: v(0.9), ValueSimilarity: v(0.7),
		Adjacent: stats.Adjacent{
			KeyCosine: v(0.02), KeyResidual: v(1.4), KeyMapResidual: v(0.26), KeyMapVariance: v(0.65),
			ValueCosine: v(-0.03), ValueResidual: v(1.37), ValueMapResidual: v(0.7), ValueMapVariance: v(-0.34),
		},
		Spectra: stats.Spectra{
			KeyPost: spectrum(2, 5), KeyPre: spectrum(1, 2), Value: spectrum(3, 6), JointPost: spectrum(5, 11),
			JointPre: spectrum(4, 9), JointPostUnbalanced: spectrum(4, 8), JointPreUnbalanced: spectrum(3, 7),
		},
		Needles: 2, NeedleMass: v(0.87), Returns: returns,
	}
	few := stats.Figures{ValueDims: 3, Spectra: stats.Spectra{Value: spectrum(3, 6)}}
	tr := &trace.Trace{Header: trace.Header{
		Name: "a trace", Model: "a model", Source: "a text", Layers: []int{3, 4, 7}, NumLayers: 9, Tokens: 4096, Queries: 900,
		Attention: slices.Repeat([]trace.Attention{{QHeads: 4, KVHeads: 2, QKDim: 3, VDim: 3, Scale: 0.577, RopeFactor: 1, Rope: trace.Rope{Theta: 10000, Style: "neox", Dims: 2, InvFreq: []float64{1}}}}, 3),
	}}
	return tr, &stats.Stats{
		Tokens: 4096, Queries: 128, KVDims: 6, FitTokens: 10,
		Layers: []stats.Layer{{Layer: 3, Figures: full}, {Layer: 4, Figures: full}, {Layer: 7, Figures: few}}, Mean: full,
	}
}

func TestStatsTable(t *testing.T) {
	tr, s := statsSubject()
	var b bytes.Buffer
	if err := WriteStats(&b, tr, s, Options{Format: "table"}); err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(b.String()) {
		if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > 120 || strings.HasSuffix(line, " \n") {
			t.Errorf("%d columns or a blank at the end: %q", n, line)
		}
	}
	golden(t, "stats.txt", b.Bytes())
	s.Mean.Returns = nil
	b.Reset()
	if err := WriteStats(&b, tr, s, Options{Format: "table"}); err != nil || strings.Contains(b.String(), ">64") {
		t.Errorf("without returns: %v\n%s", err, b.String())
	}
}

// TestStatsOfKinds: what layers do not have in common has a line for each kind of layer, and notes say what it means for
// the figures. The rest of the output is as of plain layers.
func TestStatsOfKinds(t *testing.T) {
	tr, s := statsSubject()
	local := func(a *trace.Attention) { a.Window, a.Rope.Theta, a.Sinks = 128, 500, []float64{1, 1, 1, 1} }
	for _, tt := range []struct {
		name    string
		change  func(a []trace.Attention)
		lines   []string // the first, without the trace's own
		notes   []string
		without []string
	}{
		{
			"all alike", func(a []trace.Attention) {
				for i := range a {
					a[i].VDim, a[i].Softcap, a[i].Chunk = 2, 50, 256
					a[i].RopeFactor, a[i].ALiBi = 1.25, []float64{1, 2, 3, float64(i)}
				}
			},
			[]string{
				"4 query heads, 2 KV heads, head_dim 3, values of 2",
				"layers 3..4,7 of 9, scale 0.577, rotary embedding neox over 2 dimensions, theta 10000, rope factor 1.25, chunks of 256, soft cap 50, ALiBi",
				"source: a text",
				"measured: 4096 tokens, 128 queries; K and V rows are up to 6 wide",
			},
			[]string{noteRing, "important: probability 1/t or more for a query that reads t keys", "the maps have up to 6 inputs"},
			[]string{noteSinks, "such figures", "layer 3:"},
		},
		{
			"two kinds", func(a []trace.Attention) { local(&a[0]); local(&a[2]) },
			[]string{
				"4 query heads, 2 KV heads, head_dim 3",
				"layers 3..4,7 of 9, scale 0.577",
				"layers 3,7: rotary embedding neox over 2 dimensions, theta 500, window 128, sinks",
				"layer 4: rotary embedding neox over 2 dimensions, theta 10000, no window, no sinks",
				"source: a text",
				"measured: 4096 tokens, 128 queries; K and V rows are 6 wide",
			},
			[]string{noteRing, noteSinks, "for a query that reads t keys"},
			[]string{"such figures"},
		},
		{
			"shapes", func(a []trace.Attention) {
				a[1].QHeads, a[1].KVHeads, a[1].QKDim, a[1].VDim, a[1].Rope = 8, 1, 6, 4, trace.Rope{}
			},
			[]string{
				"",
				"layers 3..4,7 of 9, scale 0.577",
				"layers 3,7: 4 query heads, 2 KV heads, head_dim 3, rotary embedding neox over 2 dimensions, theta 10000",
				"layer 4: 8 query heads, 1 KV head, head_dim 6, values of 4, no rotary embedding",
				"source: a text",
				"measured: 4096 tokens, 128 queries; K and V rows are up to 6 wide",
			},
			[]string{"a layer of other heads or widths than the one below has no such figures", "for the t-th query"},
			[]string{noteRing, noteSinks},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tr := &trace.Trace{Header: tr.Header}
			tr.Attention = slices.Clone(tr.Attention)
			tt.change(tr.Attention)
			var b bytes.Buffer
			if err := WriteStats(&b, tr, s, Options{Format: "table"}); err != nil {
				t.Fatal(err)
			}
			text := b.String()
			first := "a trace: model a model, 4096 tokens (queries of the last 900)"
			if tt.lines[0] != "" {
				first += ", "
			}
			if want := first + strings.Join(tt.lines, "\n") + "\n\nattention\n"; !strings.HasPrefix(text, want) {
				t.Errorf("got  %s\nwant %s", text[:min(len(text), len(want))], want)
			}
			captions := strings.Join(statsFigure(tr, s).captions, "\n")
			for _, note := range tt.notes {
				if !strings.Contains(text, note) {
					t.Errorf("no note %q", note)
				}
			}
			for _, note := range []string{noteRing, noteSinks, "a query that reads t keys", "up to 6 wide"} {
				if strings.Contains(text, note) != strings.Contains(captions, note) {
					t.Errorf("%q is in one of the table and the captions", note)
				}
			}
			for _, note := range tt.without {
				if strings.Contains(text, note) {
					t.Errorf("a note %q", note)
				}
			}
		})
	}
}

// TestStatsJSON keeps the names and the nulls.
func TestStatsJSON(t *testing.T) {
	tr, s := statsSubject()
	var b bytes.Buffer
	if err := WriteStats(&b, tr, s, Options{Format: "json"}); err != nil {
		t.Fatal(err)
	}
	golden(t, "stats.json", b.Bytes())
	var back stats.Stats
	dec := json.NewDecoder(&b)
	dec.DisallowUnknownFields()
	if err := dec.Decode(&back); err != nil || *back.Layers[0].KeyResidual != 1.4 || back.Layers[2].Returns != nil {
		t.Errorf("%v: %+v", err, back)
	}
}

func TestStatsPlot(t *testing.T) {
	tr, s := statsSubject()
	with := statsFigure(tr, s)
	s2 := *s
	s2.Mean.Returns = nil
	without := statsFigure(tr, &s2)
	if len(with.panels) != 9 || len(without.panels) != 6 {
		t.Fatalf("%d and %d panels, want 9 and 6", len(with.panels), len(without.panels))
	}
	for _, p := range with.panels {
		top := p.y.low // of the curves
		for _, sr := range p.series {
			for _, pt := range sr.points {
				top = max(top, pt.y)
				if pt.x < p.x.low || pt.x > p.x.high || pt.y < p.y.low || pt.y > p.y.high {
					t.Errorf("%s: point %g %g outside of the axes", p.title, pt.x, pt.y)
				}
			}
		}
		if room := (p.y.high - top) / (p.y.high - p.y.low); len(p.key) > 0 && room < 0.1 {
			t.Errorf("%s: the key has %g of the axis", p.title, room)
		}
	}
	if !strings.Contains(strings.Join(with.captions, " "), "a model") {
		t.Errorf("the captions do not say whose trace: %q", with.captions)
	}
	path := filepath.Join(t.TempDir(), "stats.png")
	if err := WriteStatsPlot(path, tr, s); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	img, err := png.Decode(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	inks := map[color.RGBA]int{}
	for y := range img.Bounds().Dy() {
		for x := range img.Bounds().Dx() {
			r, g, b, _ := img.At(x, y).RGBA()
			inks[color.RGBA{uint8(r >> 8), uint8(g >> 8), uint8(b >> 8), 0xFF}]++
		}
	}
	for _, c := range slices.Concat(warm[:1], cool[:2]) {
		if inks[c] < 200 {
			t.Errorf("%d pixels of %v", inks[c], c)
		}
	}
}

// TestStatsPlotOfLittle: what is missing has no panel, and where everything is there is no file.
func TestStatsPlotOfLittle(t *testing.T) {
	tr, s := statsSubject()
	few := s.Layers[2:]
	path := filepath.Join(t.TempDir(), "stats.png")
	if err := WriteStatsPlot(path, tr, &stats.Stats{Layers: few, Mean: few[0].Figures}); err != nil {
		t.Error(err)
	}
	path = filepath.Join(t.TempDir(), "none.png")
	err := WriteStatsPlot(path, tr, &stats.Stats{Layers: []stats.Layer{{}}})
	if _, stat := os.Stat(path); err == nil || stat == nil {
		t.Errorf("%v, %v", err, stat)
	}
	if err := WriteStatsPlot(filepath.Join(t.TempDir(), "no", "such.png"), tr, s); err == nil {
		t.Error("written into a folder that is not there")
	}
}

func TestLinearTicks(t *testing.T) {
	for _, tt := range []struct {
		low, high float64
		want      string
	}{
		{0, 1, "0 0.2 0.4 0.6 0.8 1"},
		{-0.35, 1, "-0.2 0 0.2 0.4 0.6 0.8 1"},
		{0, 8.4, "0 2 4 6 8"},
		{0, 147, "0 20 40 60 80 100 120 140"},
		{0, 0.1, "0 0.02 0.04 0.06 0.08 0.1"},
	} {
		var labels []string
		for _, tick := range linearTicks(tt.low, tt.high) {
			labels = append(labels, tick.Label)
		}
		if got := strings.Join(labels, " "); got != tt.want {
			t.Errorf("%g to %g: %s, want %s", tt.low, tt.high, got, tt.want)
		}
	}
}
