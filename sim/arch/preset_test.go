package arch

import (
	"bufio"
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"
)

func TestPresets(t *testing.T) {
	var names []string
	for _, p := range Presets() {
		names = append(names, p.Name)
		if !strings.HasPrefix(p.Source, "https://") {
			t.Errorf("%s: source %q, want a page", p.Name, p.Source)
		}
		if _, err := Read(p.Config); err != nil {
			t.Errorf("%s: %v", p.Name, err)
		}
		if found, err := Find(p.Name); err != nil || found.Source != p.Source {
			t.Errorf("Find(%s): %v, %v", p.Name, found.Source, err)
		}
	}
	if !slices.IsSorted(names) || len(slices.Compact(slices.Clone(names))) != len(names) {
		t.Errorf("%v: want sorted names, each once", names)
	}
	if _, err := Find("llama-3-8"); err == nil || !strings.Contains(err.Error(), "the nearest is llama-3-8b") {
		t.Errorf("Find(llama-3-8): %v", err)
	}
}

// TestFigures holds published models to the bytes a token, and the bytes whatever the length, that the field knows: in 16
// bits, windows whole. testdata/figures.jsonl names who printed them, or how they are made of the published fields.
func TestFigures(t *testing.T) {
	f, err := os.Open("testdata/figures.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	n := 0
	for s := bufio.NewScanner(f); s.Scan(); n++ {
		var want struct {
			Name     string
			PerToken int64 `json:"bytes_per_token"`
			Constant int64
			Source   string
		}
		if err := json.Unmarshal(s.Bytes(), &want); err != nil || want.Source == "" {
			t.Fatalf("%s: %v", s.Text(), err)
		}
		p, err := Find(want.Name)
		if err != nil {
			t.Error(err)
			continue
		}
		m, err := Read(p.Config)
		if err != nil {
			t.Errorf("%s: %v", want.Name, err)
			continue
		}
		const long = 1 << 20
		per := m.Bytes(long+1, 0, 2) - m.Bytes(long, 0, 2)
		constant := m.Bytes(long, 0, 2) - long*per
		for _, l := range m.Layers {
			for _, t := range l.Tensors {
				if t.Rows.Grow == Ring { // transformers keeps a row less than the window
					constant += t.Row * 2
				}
			}
		}
		if per != want.PerToken || constant != want.Constant {
			t.Errorf("%s: %d bytes a token and %d, want %d and %d (%s)", want.Name, per, constant, want.PerToken, want.Constant, want.Source)
		}
	}
	if n < 20 {
		t.Errorf("%d figures, want at least 20", n)
	}
}
