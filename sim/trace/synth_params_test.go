package trace

import (
	"maps"
	"strings"
	"testing"
)

func TestSynthSpecs(t *testing.T) {
	tests := []struct{ spec, name string }{
		{"synth", "synth"},
		{"synth:tokens=4k", "synth"},
		{"synth:tokens=8k", "synth:tokens=8192"},
		{"synth:model=1,sink=1.0,layers=2,drift=0x1p2", "synth:layers=2"},
		{"synth:sink=-0,q_heads=16,kv_heads=4", "synth:kv_heads=4,q_heads=16,sink=0"},
		{"synth:theta=1e6,rank=.1", "synth:rank=0.1,theta=1000000"},
		{"synth:window=0,sinks=0,rope=1,v_dim=0,full_every=0", "synth"},
		{"synth:window=1k,full_every=2,window_head_dim=32,sinks=1.0", "synth:full_every=2,sinks=1,window=1024,window_head_dim=32"},
	}
	for _, tt := range tests {
		if got := open(t, tt.spec, Options{}).Name; got != tt.name {
			t.Errorf("%s: %s, want %s", tt.spec, got, tt.name)
		}
	}
	if got := open(t, "synth", Options{Tokens: 5000}).Name; got != "synth" {
		t.Errorf("grown: %s", got)
	}
	if got := open(t, "synth:tokens=100", Options{Tokens: 5000}).Tokens; got != 100 {
		t.Errorf("a length that was asked for grew to %d", got)
	}
}

func TestSynthErrors(t *testing.T) {
	tests := []struct{ spec, want string }{
		{"synth:", `"": want key=value`},
		{"synth:layers", `"layers": want key=value`},
		{"synth:layers=0", "layers=0: want an integer from 1 to 512"},
		{"synth:layers=1.5", "layers=1.5: want an integer"},
		{"synth:layers=2,layers=2", "layers is given twice"},
		{"synth:sinker=1", `no parameter "sinker", did you mean sink?`},
		{"synth:bathtub=1", `no parameter "bathtub", want one of model, text, layers, `},
		{"synth:sink=NaN", "sink=NaN: want a number from 0 to 4"},
		{"synth:sink=", "sink=: want a number"},
		{"synth:drift=0", "drift=0: want a number from 0.125 to 256"},
		{"synth:drift=1k", "drift=1k: want a number"},
		{"synth:tokens=99999999999999999999k", "want an integer from 1 to 16777216"},
		{"synth:tokens=9007199254740993k", "want an integer from 1 to 16777216"},
		{"synth:head_dim=20", "head_dim=20: want a multiple of 8"},
		{"synth:q_heads=8,kv_heads=3", "q_heads=8: want a multiple of kv_heads=3"},
		{"synth:q_heads=8,window_kv_heads=3", "q_heads=8: want a multiple of window_kv_heads=3"},
		{"synth:window_head_dim=20", "window_head_dim=20: want a multiple of 8"},
		{"synth:window_head_dim=8", "window_head_dim=8: want 0, or 16 or more"},
		{"synth:v_dim=12", "v_dim=12: want a multiple of 8"},
		{"synth:scale=1e-9", "scale=0.000000001: want 0, or 0.001 or more"},
		{"synth:window=-1", "window=-1: want an integer from 0 to 16777216"},
		{"synth:alibi=2", "alibi=2: want an integer from 0 to 1"},
		{"synth:nope_full=1", "nope_full=1: want full_every beside it"},
		{"synth:full_every=2", "full_every=2: want window, chunk, state, nope_full or a window_ parameter beside it"},
		{"synth:full_every=1,window=4", "full_every=1: want 0, or 2 or more"},
		{"synth:full_every=6,window=4", "full_every=6: want at most layers=4"},
		{"synth:tokens=16384k,head_dim=16,window_head_dim=512,q_heads=8", "a layer takes 768 GiB"},
		{"synth:tokens=16384k,q_heads=1k,kv_heads=1k,head_dim=512", "tokens=16777216: a layer takes 98304 GiB, want at most 64"},
	}
	for _, tt := range tests {
		_, err := openSynth(tt.spec, Options{})
		if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v, want one line with %q", tt.spec, err, tt.want)
		}
	}
	if _, err := openSynth("synth", Options{Tokens: 1 << 60}); err == nil {
		t.Error("grew to 2^60 tokens")
	}
}

func TestSynthCompanion(t *testing.T) {
	tests := []struct{ spec, want string }{
		{"synth", "synth:text=1,tokens=512"},
		{"synth:tokens=8k,layers=2,text=4", "synth:layers=2,text=5,tokens=512"},
		{"synth:text=2147483647", "synth:tokens=512"},
		{"synth:bad=1", ""},
	}
	for _, tt := range tests {
		if got := synthCompanion(tt.spec); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.spec, got, tt.want)
		}
	}
}

// TestSynthParams: a default lies within its bounds and is written canonically.
func TestSynthParams(t *testing.T) {
	for _, p := range SynthParams() {
		x, err := p.parse(p.Default)
		if err != nil || synthNumber(x) != p.Default || p.Help == "" {
			t.Errorf("%s: %g of %q, help %q, %v", p.Name, x, p.Default, p.Help, err)
		}
	}
}

// FuzzSynthSpec: no spec makes the generator panic, and the canonical form of a valid one means itself.
func FuzzSynthSpec(f *testing.F) {
	for _, s := range []string{
		"synth", "synth:layers=2,tokens=1k", "synth:sink=0.5,theta=1e4,rank=0.33", "synth:text=3,,model=2", "synth:drift=0x1p-2",
		"synth:window=64,full_every=2,window_kv_heads=2,window_head_dim=32,v_dim=24,sinks=1", "synth:alibi=1,rope=0,softcap=30,scale=2",
		"synth:chunk=8,full_every=3,nope_full=1,window_theta=1e6", "synth:latent=32,q_heads=2,latent_rope=16,window_head_dim=32,full_every=2",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, spec string) {
		a, _, err := parseSynth(spec)
		if err != nil {
			return
		}
		b, _, err := parseSynth(a.canonical(true))
		if err != nil || !maps.Equal(a, b) || b.canonical(true) != a.canonical(true) {
			t.Fatalf("%q: canonical form %q: %v, %v, %v", spec, a.canonical(true), a, b, err)
		}
		tr, err := openSynth(spec, Options{Tokens: 8})
		if err != nil {
			t.Fatalf("%q: %v", spec, err)
		}
		last := tr.Attention[tr.NumLayers-1]
		if last.QHeads*last.QKDim+last.RowNumbers() > 1<<12 || last.QHeads*last.Rank*(last.QKDim+last.VDim) > 1<<20 {
			return
		}
		l, err := tr.Read(tr.NumLayers-1, min(4, tr.Tokens), 0)
		if err != nil {
			t.Fatalf("%q: %v", spec, err)
		}
		for _, x := range l.Q[0] {
			if x-x != 0 {
				t.Fatalf("%q: query %g", spec, x)
			}
		}
	})
}
