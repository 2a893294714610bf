package report

import (
	"errors"
	"fmt"
	"strings"

	"kvgauge/sim/record"
	"kvgauge/sim/trace"
	"kvgauge/sim/trace/stats"
)

// WriteStatsPlot draws the statistics of a trace into a file, in the format that its name ends with.
func WriteStatsPlot(path string, t *trace.Trace, s *stats.Stats) error {
	f := statsFigure(t, s)
	if len(f.panels) == 0 {
		return errors.New("the trace holds nothing to draw: its keys and values are zero and its queries missing")
	}
	return writePlot(path, f)
}

// statsFigure has a panel for each property that the trace shows.
func statsFigure(t *trace.Trace, s *stats.Stats) figure {
	f := figure{title: oneLine(fmt.Sprintf("%s: what its attention, keys and values are like", t.Name))}
	all := []panel{massPanel(s), entropyPanel(s), queryPanel(s), energyPanel(s), keyPanel(s), valuePanel(s)}
	if s.Mean.Returns != nil {
		all = append(all, silencePanel(s), overPanel(s), importantPanel(s))
	}
	for _, p := range all {
		if len(p.series) > 0 {
			f.panels = append(f.panels, p)
		}
	}
	w, h := panelSize(len(f.panels))
	for i := range f.panels {
		f.panels[i].makeRoom(w, h)
	}
	of := t.Model
	if t.Source != "" {
		of += "; " + t.Source
	}
	f.captions = []string{
		oneLine(fmt.Sprintf("Trace of %s.", strings.TrimSuffix(of, "."))),
		fmt.Sprintf("%d tokens; layers %s of %d, evenly spaced; no line joins layers that are not adjacent in the model. "+
			"Attention is exact, of %d queries in the second half, mean over heads. Keys and values: all KV heads side by side, %s.",
			s.Tokens, record.LayerList(t.Layers), t.NumLayers, s.Queries, rowWidth(&t.Header, s.KVDims)),
		"Energy: share of the squared norm of all rows, mean over layers. [K|V]: keys scaled to the values' mean column norm. " +
			"Layer before: fitted on the first half of the tokens, all its figures of the second half.",
	}
	if notes := maskNotes(&t.Header); notes != nil {
		f.captions = append(f.captions, "Attention: "+strings.Join(notes, "; ")+".")
	}
	if s.Mean.Returns != nil {
		f.captions = append(f.captions, "Important: "+importance(&t.Header)+". A return is the importance of an earlier key; "+
			"its silence counts the steps since the key was last important to the same query head, or was born. All queries held, all heads.")
	}
	return f
}
