package method

import (
	"strings"
	"testing"
)

// TestSettings spells out the values of knobs that are not all integers of a range.
func TestSettings(t *testing.T) {
	cell := Cell{
		Layers: []int{0, 1, 2, 3, 4, 5, 6}, NumLayers: 7, QHeads: 3, HeadDim: 8, RopeDims: 8, Heads: 3, Dim: 8, VDim: 8, HasRope: true, SeqLen: 100, Decode: 20,
	}
	tests := []struct {
		spec   string
		change func(*Cell)
		want   string
	}{
		{"think", nil, "0.875 0.75 0.625 0.5 0.375 0.25 0.125 0"},
		{"think:window=80", nil, "0"}, // every key keeps all channels
		{
			"think:window=79", func(c *Cell) { c.Dim = 16 }, // a channel of one key is 2 bytes, and so is the mask
			"0.9375 0.875 0.8125 0.75 0.6875 0.625 0.5625 0.5 0.4375 0.375 0.3125 0.25 0.1875 0.125 0",
		},
		{"minicache", nil, "1 3 5"},
		{"minicache", func(c *Cell) { c.NumLayers, c.Layers = 6, []int{0, 2, 3, 4, 5} }, "2 4"},
		{"minicache:retain=80%", nil, "5 3 1"},
		{"duoattention", nil, "0% 33.3% 66.7% 100%"},
		{"duoattention", func(c *Cell) { c.FirstQuery = 80 }, "0% 100%"},
		{"lowrank", func(c *Cell) { c.Heads, c.Dim, c.VDim = 1, 4, 4 }, "1 2 3 4"},
		{"lowrank:v_rank=4", func(c *Cell) { c.Heads, c.Dim, c.VDim = 1, 4, 4 }, "1 2 3 4"},
		{"lowrank:kind=xkv", func(c *Cell) { c.Heads, c.Dim, c.VDim = 1, 4, 4 }, "1 2 3 4"}, // the first group is short, half as wide
		{"rocketkv", func(c *Cell) { c.SeqLen = 25 }, "1 2 3 4"},
		{"rocketkv:preset=trtllm", func(c *Cell) { c.SeqLen = 25 }, "1 2 3 4 5"},
		{"kivi", nil, "2 4"},
		{"q8_0:v=kivi", nil, "2 4"},
		{"kivi:bits=4,v=turboquant", nil, "3bit_nc k3v4_nc 4bit_nc k8v4"},
		{"turboquant", nil, "3bit_nc k3v4_nc 4bit_nc k8v4"},
		{"turboquant:qjl=on", nil, "3bit_nc k3v4_nc 4bit_nc"},
		{"kvarn", nil, "k4v2_g128 k4v4_g128"},
		{"quest", nil, ""},
		{"int8", nil, ""},
	}
	for _, tt := range tests {
		ps, err := Parse([]string{tt.spec}, []Entries{{Percent: 25}})
		if err != nil {
			t.Fatal(err)
		}
		c := cell
		if tt.change != nil {
			tt.change(&c)
		}
		if knob, _ := ps[0].Knob(c); strings.Join(knob.Settings, " ") != tt.want {
			t.Errorf("%s: %q, want %q", tt.spec, knob.Settings, tt.want)
		}
	}
}

// TestWrappedKnob: of a method and its wrapper the first has the budget, and what comes after has its own.
func TestWrappedKnob(t *testing.T) {
	ps, err := Parse([]string{"snapkv+adakv+criticalkv", "snapkv:budget=10+adakv+kivi"}, []Entries{{Percent: 25}})
	if err != nil {
		t.Fatal(err)
	}
	c := Cell{Layers: []int{0}, NumLayers: 1, QHeads: 1, HeadDim: 32, Heads: 1, Dim: 32, VDim: 32, SeqLen: 40}
	for i, want := range []struct{ param, set, counted string }{
		{"snapkv:budget", "snapkv:budget=40+adakv+criticalkv", "snapkv:budget=10+adakv+criticalkv"},
		{"kivi:bits", "snapkv:budget=10+adakv+kivi:bits=4", "snapkv:budget=10+adakv+kivi"},
	} {
		knob, _ := ps[i].Knob(c)
		if knob.Param != want.param {
			t.Fatalf("%s has the knob %q", ps[i].Name, knob.Param)
		}
		if p, err := knob.Set(len(knob.Settings) - 1); err != nil || p.Name != want.set {
			t.Errorf("%s at its largest: %v, %v", ps[i].Name, p, err)
		}
		if p, err := ps[i].Counted(40); err != nil || p.Name != want.counted {
			t.Errorf("%s counted: %v, %v", ps[i].Name, p, err)
		}
	}
}
