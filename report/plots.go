package report

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/google/renameio/v2/maybe"

	"kvgauge/sim/record"
)

// Picture is one plot as a PNG file, or the reason why there is none.
type Picture struct {
	Name    string // of the file
	PNG     []byte
	Skipped string // "" where PNG is set
}

// pictures are the plots; missing says what records lack for one.
var pictures = []struct {
	name    string
	figure  func([]record.Record, map[string]style) figure
	missing string
}{
	{"bytes.png", bytesFigure, "no cache was measured"},
	{"latency.png", latencyFigure, "no latency was measured"},
	{"error.png", errorFigure, "no error was measured"},
	{"tradeoff.png", tradeoffFigure, "no error was measured beside a cache"},
}

// Plots draws cache bytes, latency and error over the sequence length, and error over cache bytes.
func Plots(records []record.Record) ([]Picture, error) {
	records = withoutKnobs(records)
	look := styles(records)
	var all []Picture
	for _, p := range pictures {
		f := p.figure(records, look)
		if len(f.panels) == 0 {
			all = append(all, Picture{Name: p.name, Skipped: p.missing})
			continue
		}
		if n := len(f.panels); n > maxPanels {
			f.panels = f.panels[:maxPanels]
			f.captions = append(f.captions, fmt.Sprintf("Only the first %d of %d traces are drawn.", maxPanels, n))
		}
		f.order = f.shown(records, look)
		png, err := f.png()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", p.name, err)
		}
		all = append(all, Picture{Name: p.name, PNG: png})
	}
	return all, nil
}

// WritePlots draws the plots into a folder that exists, each file whole or not at all. A file of a plot
// that cannot be drawn from these records is removed: it would show others.
func WritePlots(dir string, records []record.Record) ([]Picture, error) {
	all, err := Plots(records)
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
			err = maybe.WriteFile(path, p.PNG, 0o666)
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
