package report

import (
	"image/color"
	"strconv"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"kvgauge/sim/trace/stats"
)

// statCurve is one curve of a panel and how it looks.
type statCurve struct {
	style style
	value func(stats.Figures) *float64
}

// curveStyle is the style of a curve: a dashed line for what is before the rotary embedding or not mapped.
func curveStyle(name string, c color.Color, dash []vg.Length, outline int) style {
	return style{
		name:   name,
		line:   draw.LineStyle{Color: c, Width: vg.Points(1.5), Dashes: dash},
		marker: draw.GlyphStyle{Color: c, Radius: vg.Points(3), Shape: glyph{outlines[outline], dash != nil}},
	}
}

var dashed = dashes[1]

// byLayer is a panel over the layers. Layers are evenly spaced; lines join those that are adjacent in the
// model. The axis reaches from low to high and further where values do.
func byLayer(s *stats.Stats, title, label string, low, high float64, curves ...statCurve) panel {
	p := panel{title: title, exact: true}
	for _, c := range curves {
		last := -2 // where the curve's last point is
		for i, l := range s.Layers {
			v := c.value(l.Figures)
			if v == nil {
				continue
			}
			if last != i-1 || s.Layers[last].Layer != l.Layer-1 {
				p.series = append(p.series, series{style: c.style})
			}
			last = i
			low, high = min(low, *v), max(high, *v)
			line := &p.series[len(p.series)-1]
			line.points = append(line.points, point{x: float64(i), y: *v, style: c.style})
		}
		if last >= 0 && len(curves) > 1 {
			p.key = append(p.key, c.style)
		}
	}
	p.x = axis{label: "layer", linear: true, low: -0.5, high: float64(len(s.Layers)) - 0.5, ticks: layerTicks(s)}
	p.y = axis{label: label, linear: true, low: low, high: high, ticks: linearTicks(low, high)}
	return p
}

// layerTicks labels at most 16 layers.
func layerTicks(s *stats.Stats) plot.ConstantTicks {
	stride := (len(s.Layers) + 15) / 16
	var ticks plot.ConstantTicks
	for i, l := range s.Layers {
		t := plot.Tick{Value: float64(i)}
		if i%stride == 0 {
			t.Label = strconv.Itoa(l.Layer)
		}
		ticks = append(ticks, t)
	}
	return ticks
}

func massPanel(s *stats.Stats) panel {
	return byLayer(
		s, "Where attention goes", "share of a query's attention", 0, 1,
		statCurve{curveStyle("token 0 (sink)", warm[0], nil, 0), func(f stats.Figures) *float64 { return f.SinkMass }},
		statCurve{curveStyle("32 heaviest keys", cool[0], nil, 1), func(f stats.Figures) *float64 { return f.HeavyMass }},
		statCurve{curveStyle("last 64 keys", cool[1], nil, 2), func(f stats.Figures) *float64 { return f.LocalMass }},
	)
}

func entropyPanel(s *stats.Stats) panel {
	return byLayer(
		s, "How widely it spreads", "entropy of attention, bits", 0, 1,
		statCurve{curveStyle("entropy", cool[0], nil, 0), func(f stats.Figures) *float64 { return f.EntropyBits }},
	)
}

func queryPanel(s *stats.Stats) panel {
	return byLayer(
		s, "How alike adjacent queries are", "cosine of a query with the one before", 0, 1,
		statCurve{curveStyle("cosine", cool[0], nil, 0), func(f stats.Figures) *float64 { return f.QueryCosine }},
	)
}

func keyPanel(s *stats.Stats) panel {
	return byLayer(
		s, "Unrotated keys, from the layer before", "cosine or share", 0, 1,
		statCurve{curveStyle("cosine as they are", cool[0], dashed, 0), func(f stats.Figures) *float64 { return f.KeyCosine }},
		statCurve{curveStyle("variance a map explains", cool[0], nil, 1), func(f stats.Figures) *float64 { return f.KeyMapVariance }},
	)
}

func valuePanel(s *stats.Stats) panel {
	return byLayer(
		s, "Values, from the layer before", "cosine or share", 0, 1,
		statCurve{curveStyle("cosine as they are", warm[0], dashed, 0), func(f stats.Figures) *float64 { return f.ValueCosine }},
		statCurve{curveStyle("variance a map explains", warm[0], nil, 1), func(f stats.Figures) *float64 { return f.ValueMapVariance }},
	)
}

func overPanel(s *stats.Stats) panel {
	return byLayer(
		s, "Returns after a long silence", "% of returns, of all attention", 0, 0.1,
		statCurve{curveStyle("returns > 64", cool[0], nil, 0), ofReturns(func(r *stats.Returns) *float64 { return percent(r.EventsOver64) })},
		statCurve{curveStyle("returns > 256", cool[0], dashed, 0), ofReturns(func(r *stats.Returns) *float64 { return percent(r.EventsOver256) })},
		statCurve{curveStyle("attention > 64", warm[0], nil, 1), ofReturns(func(r *stats.Returns) *float64 { return percent(&r.MassOver64) })},
		statCurve{curveStyle("attention > 256", warm[0], dashed, 1), ofReturns(func(r *stats.Returns) *float64 { return percent(&r.MassOver256) })},
	)
}

func importantPanel(s *stats.Stats) panel {
	return byLayer(
		s, "Important keys of a query", "keys", 0, 1,
		statCurve{curveStyle("keys", cool[0], nil, 0), ofReturns(func(r *stats.Returns) *float64 { return &r.ImportantKeys })},
	)
}
