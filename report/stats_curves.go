package report

import (
	"math"

	"gonum.org/v1/plot/vg"

	"kvgauge/sim/trace/stats"
)

// energyPanel shows how much of the rows their strongest directions hold, mean over layers.
func energyPanel(s *stats.Stats) panel {
	p := panel{title: "How few directions hold keys and values", exact: true}
	widest := 1
	for _, c := range []struct {
		style style
		of    *stats.Spectrum
	}{
		{curveStyle("K", cool[0], nil, 0), s.Mean.Spectra.KeyPost},
		{curveStyle("K pre-RoPE", cool[0], dashed, 0), s.Mean.Spectra.KeyPre},
		{curveStyle("V", warm[0], nil, 1), s.Mean.Spectra.Value},
		{curveStyle("[K|V]", cool[1], nil, 2), s.Mean.Spectra.JointPost},
		{curveStyle("[K|V] pre-RoPE", cool[1], dashed, 2), s.Mean.Spectra.JointPre},
	} {
		if c.of == nil {
			continue
		}
		var points []point
		for i, r := range c.of.Ranks {
			points = append(points, point{x: math.Log2(float64(r)), y: c.of.Energy[i], style: c.style})
			widest = max(widest, r)
		}
		p.series, p.key = append(p.series, series{style: c.style, points: points}), append(p.key, c.style)
	}
	p.x = octaves("directions", widest)
	p.y = axis{label: "share of the energy", linear: true, low: 0, high: 1, ticks: linearTicks(0, 1)}
	return p
}

// silencePanel shows how returns spread over the silence before them: all layers, the lowest and the
// highest one, and the attention that all of them are.
func silencePanel(s *stats.Stats) panel {
	p := panel{title: "Silence before a key matters again", exact: true}
	least, longest := 1.0, 1
	add := func(sty style, r *stats.Returns, value func(stats.Octave) float64) {
		var points []point
		for _, o := range r.Octaves {
			if v := value(o); v > 0 {
				points = append(points, point{x: math.Log2(float64(o.From)), y: math.Log10(v), style: sty})
				least, longest = min(least, v), max(longest, o.From)
			}
		}
		if len(points) > 0 {
			p.series, p.key = append(p.series, series{style: sty, points: points}), append(p.key, sty)
		}
	}
	share := func(o stats.Octave) float64 { return o.Share }
	if first, last := s.Layers[0], s.Layers[len(s.Layers)-1]; first.Returns != nil && last.Returns != nil && len(s.Layers) > 1 {
		add(curveStyle("lowest layer", cool[2], nil, 2), first.Returns, share)
		add(curveStyle("highest layer", cool[0], nil, 4), last.Returns, share)
	}
	add(curveStyle("all layers", black, nil, 0), s.Mean.Returns, share)
	add(curveStyle("their attention", warm[0], dashed, 1), s.Mean.Returns, func(o stats.Octave) float64 { return o.Mass })
	p.x = octaves("silence of so many steps, and less than twice as many", longest)
	low := math.Floor(math.Log10(least))
	p.y = axis{label: "share of returns, of all attention", linear: true, low: low, high: 0, ticks: decadeMarks(int(low))}
	return p
}

// octaves is an axis of logarithms to base 2. It is linear: gonum places the label of a logarithmic axis
// so far right that a long one takes room from all panels.
func octaves(label string, high int) axis {
	return axis{label: label, linear: true, low: -0.5, high: math.Log2(float64(high)) + 0.5, ticks: powerTicks(high)}
}

// makeRoom raises the top of the linear y axis so that the key covers no curve, and keeps a margin around
// the outermost markers. The panel is to be w by h.
func (p *panel) makeRoom(w, h vg.Length) {
	const margin = 0.04
	room := margin
	if len(p.key) > 0 {
		key := newLegend(p.key, w-keyBeside)
		room = float64((key.height() + 2*keyInset) / (h - keyAround))
	}
	span := (p.y.high - p.y.low) / (1 - room - margin)
	p.y.low, p.y.high = p.y.low-margin*span, p.y.high+room*span
}

// What a panel has beside and around its axes, at most: tick labels, the labels of the axes, the title.
const (
	keyBeside = vg.Length(90)
	keyAround = vg.Length(72)
)
