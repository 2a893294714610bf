package report

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"kvgauge/sim/record"
	"kvgauge/sim/trace"
	"kvgauge/sim/trace/stats"
)

// statTable is one table of a trace's statistics.
type statTable struct {
	title   string
	columns []statColumn
	notes   []string
}

// statColumn is one figure; stats.Figures defines it.
type statColumn struct {
	name  string
	value func(stats.Figures) *float64
	digit int // places after the point
}

// statTables are the tables that the statistics of a trace fill.
func statTables(h *trace.Header, s *stats.Stats) []statTable {
	attention := attentionTable.noted(maskNotes(h)...)
	layers := layersTable
	if !sameShapes(h) {
		layers = layers.noted("a layer of other heads or widths than the one below has no such figures")
	}
	if s.FitTokens < 2*s.KVDims {
		inputs := strings.TrimSuffix(rowWidth(h, s.KVDims), " wide")
		layers = layers.noted(fmt.Sprintf("the maps have %s inputs and are fitted on %s: on more they explain more", inputs, record.Count(s.FitTokens, "token", "")))
	}
	tables := []statTable{attention, spectrumTable, layers}
	if s.Mean.Returns != nil {
		tables = append(tables, returnsTable(h, s.Mean.Returns))
	}
	return tables
}

// noted returns the table with more notes.
func (st statTable) noted(notes ...string) statTable {
	st.notes = slices.Concat(st.notes, notes)
	return st
}

var attentionTable = statTable{"attention", []statColumn{
	{"sink", func(f stats.Figures) *float64 { return f.SinkMass }, 2},
	{"sink4", func(f stats.Figures) *float64 { return f.Sink4Mass }, 2},
	{"entropy", func(f stats.Figures) *float64 { return f.EntropyBits }, 1},
	{"heavy", func(f stats.Figures) *float64 { return f.HeavyMass }, 2},
	{"local", func(f stats.Figures) *float64 { return f.LocalMass }, 2},
	{"q cos", func(f stats.Figures) *float64 { return f.QueryCosine }, 2},
	{"k drift", func(f stats.Figures) *float64 { return f.KeyCosine64 }, 2},
	{"v drift", func(f stats.Figures) *float64 { return f.ValueCosine64 }, 2},
	{"needles", func(f stats.Figures) *float64 { n := float64(f.Needles); return &n }, 0},
	{"needle p", func(f stats.Figures) *float64 { return f.NeedleMass }, 2},
}, []string{
	"sink, sink4: mass on token 0, on tokens 0 to 3; heavy: on a query's 32 heaviest keys; local: on the last 64 keys",
	"entropy: of the attention, bits; q cos: cosine of adjacent queries",
	"k drift, v drift: cosine of rows 64 tokens apart, mean removed, keys without rotary embedding",
	"needles: planted keys asked for once, after a silence; needle p: mass that the asking query puts on its needle",
}}

var spectrumTable = statTable{"directions that hold 90 % and 99 % of the energy of K, V and both", slices.Concat(
	dims("K", func(s stats.Spectra) *stats.Spectrum { return s.KeyPost }),
	dims("K pre", func(s stats.Spectra) *stats.Spectrum { return s.KeyPre }),
	dims("V", func(s stats.Spectra) *stats.Spectrum { return s.Value }),
	dims("[K|V]", func(s stats.Spectra) *stats.Spectrum { return s.JointPost }),
	dims("[K|V] pre", func(s stats.Spectra) *stats.Spectrum { return s.JointPre }),
), []string{
	"all KV heads side by side, the mean row left in; K after the rotary embedding, K pre before it",
	"[K|V]: keys scaled to the values' mean column norm, as a latent cache joins them",
}}

// dims are the columns of one spectrum: the directions that hold 90 % and 99 % of the energy.
func dims(name string, of func(stats.Spectra) *stats.Spectrum) []statColumn {
	column := func(name string, figure func(*stats.Spectrum) *float64) statColumn {
		return statColumn{name, func(f stats.Figures) *float64 {
			if s := of(f.Spectra); s != nil {
				return figure(s)
			}
			return nil
		}, 0}
	}
	return []statColumn{
		column(name+" 90", func(s *stats.Spectrum) *float64 { return &s.Dims90 }),
		column("99", func(s *stats.Spectrum) *float64 { return &s.Dims99 }),
	}
}

var layersTable = statTable{"likeness to the layer before", []statColumn{
	{"attn sim", func(f stats.Figures) *float64 { return f.AttentionSimilarity }, 2},
	{"v sim", func(f stats.Figures) *float64 { return f.ValueSimilarity }, 2},
	{"k cos", func(f stats.Figures) *float64 { return f.KeyCosine }, 2},
	{"k raw err", func(f stats.Figures) *float64 { return f.KeyResidual }, 2},
	{"k map err", func(f stats.Figures) *float64 { return f.KeyMapResidual }, 2},
	{"k map var", func(f stats.Figures) *float64 { return f.KeyMapVariance }, 2},
	{"v cos", func(f stats.Figures) *float64 { return f.ValueCosine }, 2},
	{"v raw err", func(f stats.Figures) *float64 { return f.ValueResidual }, 2},
	{"v map err", func(f stats.Figures) *float64 { return f.ValueMapResidual }, 2},
	{"v map var", func(f stats.Figures) *float64 { return f.ValueMapVariance }, 2},
}, []string{
	"attn sim, v sim: cosine of attention, CKA of values, with the layer before in the trace",
	"others: with the layer just below in the model, on the second half of the tokens, keys without rotary embedding",
	"cos, raw err: cosine and relative error of its rows taken as they are",
	"map err, map var: relative error and share of variance explained after the linear map that fits the first half best",
}}

// returnColumns is the number of octaves that have a column.
const returnColumns = 10

// returnsTable is made for the longest silence seen.
func returnsTable(h *trace.Header, all *stats.Returns) statTable {
	t := statTable{"keys that matter again, by the steps since they last did", []statColumn{
		{"keys", ofReturns(func(r *stats.Returns) *float64 { return &r.ImportantKeys }), 1},
		{"mass", ofReturns(func(r *stats.Returns) *float64 { return &r.ImportantMass }), 2},
	}, []string{
		"important: " + importance(h) + "; keys, mass: important keys of a query and their probability",
		"1, 2-, 4-, ...: share of returns in %, by steps since the key was last important to the query head or was born",
		">64, >256: the same, of longer silences; p >64, p >256: their share of all attention in %; mean: all layers together",
	}}
	for i := range min(len(all.Octaves), returnColumns) {
		last := i == returnColumns-1
		name := strconv.Itoa(1 << i)
		if last {
			name += "+"
		} else if i > 0 {
			name += "-"
		}
		t.columns = append(t.columns, statColumn{name, ofReturns(func(r *stats.Returns) *float64 {
			if r.Events == 0 {
				return nil
			}
			var share float64
			for o := i; o < len(r.Octaves) && (o == i || last); o++ {
				share += r.Octaves[o].Share
			}
			return percent(&share)
		}), 1})
	}
	t.columns = append(
		t.columns,
		statColumn{">64", ofReturns(func(r *stats.Returns) *float64 { return percent(r.EventsOver64) }), 1},
		statColumn{">256", ofReturns(func(r *stats.Returns) *float64 { return percent(r.EventsOver256) }), 2},
		statColumn{"p >64", ofReturns(func(r *stats.Returns) *float64 { return percent(&r.MassOver64) }), 2},
		statColumn{"p >256", ofReturns(func(r *stats.Returns) *float64 { return percent(&r.MassOver256) }), 2},
	)
	if all.Unknown > 0 {
		t.notes = append(t.notes, strconv.Itoa(all.Unknown)+" more returns have a silence that began before the first query that the trace holds")
	}
	return t
}

// ofReturns is a figure of a layer's returns, nil where these were not looked for.
func ofReturns(figure func(*stats.Returns) *float64) func(stats.Figures) *float64 {
	return func(f stats.Figures) *float64 {
		if f.Returns == nil {
			return nil
		}
		return figure(f.Returns)
	}
}

// percent is 100 times a share, nil of nil.
func percent(share *float64) *float64 {
	if share == nil {
		return nil
	}
	p := 100 * *share
	return &p
}
