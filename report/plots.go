package report

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"github.com/google/renameio/v2/maybe"

	"kvgauge/sim/record"
)

// Picture is one plot as a file, or the reason why there is none.
type Picture struct {
	Name    string // of the file
	Data    []byte // in the format that its name ends with
	Skipped string // "" where there are data
}

// pictures are the plots by the names of their files; missing says what records lack for one.
var pictures = []struct {
	name    string
	figure  func([]record.Record) figure
	missing string
}{
	{"bytes", small(bytesFigure), "no cache was measured"},
	{"latency", small(latencyFigure), "no latency was measured"},
	{"error", small(errorFigure), "no error was measured"},
	{"tradeoff", tradeoff, "no error was measured beside a cache"},
}

// small is a figure over lengths, as small multiples where there are too many pipelines for one panel.
func small(of func([]record.Record, map[string]style, bool) figure) func([]record.Record) figure {
	return func(records []record.Record) figure {
		batches := batchesOf(records)
		if batches == nil {
			look := styles(records)
			return of(records, look, false).withLegend(records, look, maxPanels)
		}
		look := rowStyles(records, batches)
		f := of(records, look, true).withLegend(records, look, maxColumns)
		f.rows = f.rowsOf(batches, look)
		f.captions = append([]string{captionRows}, f.captions...)
		return f
	}
}

// tradeoff is the figure of errors and bytes, by families where there are too many curves.
func tradeoff(records []record.Record) figure {
	look, crowd := styles(records), len(competitors(records, curveOf)) > together
	if crowd {
		look = familyStyles(records)
	}
	return tradeoffFigure(records, look, crowd).withLegend(records, look, maxPanels)
}

// withLegend is the figure with the styles of its legend, and with so many traces that it can be taken in.
func (f figure) withLegend(records []record.Record, look map[string]style, most int) figure {
	if n := len(f.panels); n > most {
		f.panels = f.panels[:most]
		f.captions = append(f.captions, fmt.Sprintf("Only the first %d of %d traces are drawn.", most, n))
	}
	f.order = f.shown(records, look)
	return f
}

// Plots draws cache bytes, latency and error over the sequence length, and error over cache bytes, in one of
// PlotFormats.
func Plots(records []record.Record, format string) ([]Picture, error) {
	records = withoutKnobs(apart(records))
	all, errs := make([]Picture, len(pictures)), make([]error, len(pictures))
	var drawn sync.WaitGroup
	for i, p := range pictures {
		all[i].Name = p.name + "." + format
		drawn.Go(func() {
			f := p.figure(records)
			if len(f.panels) == 0 {
				all[i].Skipped = p.missing
				return
			}
			if all[i].Data, errs[i] = f.draw(format); errs[i] != nil {
				errs[i] = fmt.Errorf("%s: %w", all[i].Name, errs[i])
			}
		})
	}
	drawn.Wait()
	return all, errors.Join(errs...)
}

// WritePlots draws the plots into a folder that exists, each file whole or not at all. A file of a plot
// that cannot be drawn from these records is removed: it would show others.
func WritePlots(dir string, records []record.Record, format string) ([]Picture, error) {
	all, err := Plots(records, format)
	if err != nil {
		return nil, err
	}
	for _, p := range all {
		path := filepath.Join(dir, p.Name)
		if p.Skipped != "" {
			err = os.Remove(path)
			if errors.Is(err, fs.ErrNotExist) {
				err = nil
			}
		} else {
			err = maybe.WriteFile(path, p.Data, 0o666)
		}
		if err != nil {
			return nil, err
		}
	}
	return all, nil
}

// shown are the styles of the pipelines that the figure has points of, in the order of the records.
func (f figure) shown(records []record.Record, look map[string]style) []style {
	seen := map[string]bool{}
	for _, p := range f.panels {
		for _, s := range p.series {
			for _, pt := range s.points {
				seen[pt.style.name] = true
			}
		}
	}
	var order []style
	for _, r := range records {
		s := look[r.Pipeline]
		if seen[s.name] && !slices.ContainsFunc(order, func(o style) bool { return o.name == s.name }) {
			order = append(order, s)
		}
	}
	return order
}
