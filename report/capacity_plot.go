package report

import (
	"errors"
	"fmt"
	"image/color"

	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"kvgauge/sim/record"
)

// WriteCapacityPlot draws the bytes of a plan against the length into a file, in the format that its name ends with, and what
// the memory leaves beside the weights as a line, where one was given.
func WriteCapacityPlot(path string, lines []record.Capacity) error {
	f, err := capacityFigure(lines)
	if err != nil {
		return err
	}
	return writePlot(path, f)
}

// memoryLine is how what the memory leaves is drawn.
var memoryLine = draw.LineStyle{Color: color.Gray{0x50}, Width: vg.Points(1), Dashes: []vg.Length{2, 3}}

// capacityFigure is one panel.
func capacityFigure(lines []record.Capacity) (figure, error) {
	var records []record.Record // for the styles of their pipelines
	for _, c := range lines {
		if c.BatchBytes != nil && *c.BatchBytes > 0 {
			records = append(records, record.Record{Pipeline: c.Pipeline, Family: c.Family, SeqLen: c.SeqLen, CacheBytes: c.BatchBytes})
		}
	}
	if len(records) == 0 {
		return figure{}, errors.New("nothing to draw: no cache takes any bytes")
	}
	look := styles(records)
	all := join(records, func(r record.Record) string { return r.Pipeline }, look, func(r record.Record) (point, bool) {
		v := float64(*r.CacheBytes)
		return point{x: float64(r.SeqLen), y: v, lo: v, hi: v}, true
	})
	first := lines[0]
	p := panel{title: capacityTerms(first), series: all}
	p.x = axis{label: "prompt, tokens", ticks: lengths(all)}
	p.x.low, p.x.high = logRange(p.xs())
	f := figure{title: oneLine("KV cache of " + first.Model + ", by prompt length")}
	f.panels = []panel{p}
	f.order = f.shown(records, look)
	ys := p.ys()
	if first.MemoryBytes != nil {
		left := float64(*first.MemoryBytes - *first.WeightBytes)
		ys = append(ys, left)
		name := style{name: fmt.Sprintf("memory beside the weights, %s", byteText(left)), line: memoryLine}
		p.series = append(p.series, series{style: name, points: []point{{x: p.x.low, y: left, lo: left, hi: left, style: name}, {x: p.x.high, y: left, lo: left, hi: left, style: name}}})
		f.order = append(f.order, name)
	}
	p.y = axis{label: "bytes of the cache", ticks: byteTicks{}}
	p.y.low, p.y.high = logRange(ys)
	f.panels = []panel{p}
	f.captions = []string{captionEqual, "Figures follow " + oneLine(first.Source) + "."}
	return f, nil
}
