package arch

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"kvgauge/sim/record"
)

// The published configurations that come with the program, a line each: the fields that a cache follows from, as the
// source has them.
//
//go:embed presets.jsonl
var presetLines string

// Preset is a published model's configuration under a short name.
type Preset struct {
	Name   string          `json:"name"`
	Source string          `json:"source"` // where the configuration was published
	Config json.RawMessage `json:"config"` // for Read
}

// Presets returns the presets, sorted by name.
func Presets() []Preset {
	var presets []Preset
	for line := range strings.Lines(presetLines) {
		var p Preset
		if err := json.Unmarshal([]byte(line), &p); err != nil {
			panic(err) // a test reads every line
		}
		presets = append(presets, p)
	}
	return presets
}

// Find returns the preset of that name, or an error that names the nearest.
func Find(name string) (Preset, error) {
	presets := Presets()
	if i := slices.IndexFunc(presets, func(p Preset) bool { return p.Name == name }); i >= 0 {
		return presets[i], nil
	}
	var known []string
	for _, p := range presets {
		known = append(known, p.Name)
	}
	if near := record.Nearest(name, known); near != "" {
		return Preset{}, fmt.Errorf("no model %s: the nearest is %s; `kvgauge list models` names all", show(name), near)
	}
	return Preset{}, fmt.Errorf("no model %s: `kvgauge list models` names all", show(name))
}
