package cmd

import (
	"fmt"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	"kvgauge/sim"
	"kvgauge/sim/record"
)

// progress shows how far a run is, on stderr. It draws only between cells, so that it never runs beside
// a latency sample.
type progress struct {
	system *system
	cells  []sim.Cell
	n      int
	lines  bool // a line a cell, where a bar was asked for without a terminal

	bars    *mpb.Progress
	bar     *mpb.Bar
	refresh chan any
	name    string
	began   time.Time
	first   int // cells that were done before
}

// newProgress starts what --progress asks for, the first so many cells being done: auto shows a bar on a terminal.
func newProgress(s *system, mode string, cells []sim.Cell, done int) *progress {
	p := &progress{system: s, cells: cells, n: done, first: done, began: s.now()}
	switch {
	case mode == "off" || mode == "auto" && !s.errTTY:
	case !s.errTTY:
		p.lines = true
	default:
		p.refresh = make(chan any)
		p.bars = mpb.New(mpb.WithOutput(s.err), mpb.WithWidth(40), mpb.WithManualRefresh(p.refresh))
		p.bar = p.bars.AddBar(int64(len(cells)),
			mpb.PrependDecorators(decor.CountersNoUnit("%d/%d cells ")),
			mpb.AppendDecorators(decor.Any(func(decor.Statistics) string { return " " + p.name })),
			mpb.BarRemoveOnComplete(),
		)
		p.bar.SetCurrent(int64(p.n))
		p.show()
	}
	return p
}

// done counts a cell.
func (p *progress) done(r record.Record) {
	p.n++
	if p.lines {
		fmt.Fprintf(p.system.err, "%d/%d %s %d %s: %s\n", p.n, len(p.cells), r.Trace, r.SeqLen, r.Pipeline, r.Status)
	}
	if p.bar != nil {
		p.bar.Increment()
		p.show()
	}
}

// show draws the bar with the name of the cell that comes next, and the time left.
func (p *progress) show() {
	p.name = ""
	if p.n < len(p.cells) {
		c := p.cells[p.n]
		p.name = fmt.Sprintf("%s%s %d %s", p.left(), c.Trace.Name, c.SeqLen, c.Pipeline.Name)
	}
	p.refresh <- nil
}

// left is the time left, if the cells to come take as long for their multiplications as those that this run has done: "" where
// it has done none.
func (p *progress) left() string {
	var done, open int64
	for i, c := range p.cells {
		switch {
		case i >= p.n:
			open += c.Work
		case i >= p.first:
			done += c.Work
		}
	}
	if done == 0 {
		return ""
	}
	left := time.Duration(float64(p.system.now().Sub(p.began)) * float64(open) / float64(done))
	return left.Round(time.Second).String() + " left, "
}

// close removes the bar.
func (p *progress) close() {
	if p.bar != nil {
		p.bar.Abort(true)
		close(p.refresh)
		p.bars.Wait()
	}
}
