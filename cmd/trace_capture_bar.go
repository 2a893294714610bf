package cmd

import (
	"fmt"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
)

// captureBar shows how far a capture is, with the time left, on stderr.
type captureBar struct {
	system *system
	lines  bool // a line for each tenth, where a bar was asked for without a terminal
	tenth  int

	bars *mpb.Progress
	bar  *mpb.Bar
}

// newCaptureBar starts what --progress asks for: auto shows a bar on a terminal.
func newCaptureBar(s *system, mode string) *captureBar {
	b := &captureBar{system: s}
	switch {
	case mode == "off" || mode == "auto" && !s.errTTY:
	case !s.errTTY:
		b.lines = true
	default:
		b.bars = mpb.New(mpb.WithOutput(s.err), mpb.WithWidth(40))
	}
	return b
}

// show moves the bar.
func (b *captureBar) show(done, total int) {
	if b.lines && done*10/total > b.tenth {
		b.tenth = done * 10 / total
		fmt.Fprintf(b.system.err, "%d%%\n", b.tenth*10)
	}
	if b.bars == nil {
		return
	}
	if b.bar == nil {
		b.bar = b.bars.AddBar(int64(total),
			mpb.PrependDecorators(decor.Percentage()),
			mpb.AppendDecorators(decor.AverageETA(decor.ET_STYLE_GO)),
			mpb.BarRemoveOnComplete(),
		)
	}
	b.bar.SetCurrent(int64(done))
}

// close removes the bar.
func (b *captureBar) close() {
	if b.bar != nil {
		b.bar.Abort(true)
	}
	if b.bars != nil {
		b.bars.Wait()
	}
}
