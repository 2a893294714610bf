package trace

import (
	"path/filepath"
	"testing"
)

// TestSameText: it is one text whatever its type and length, and another where the rows are.
func TestSameText(t *testing.T) {
	text := open(t, "synth:layers=2,kv_heads=1,q_heads=2", Options{Tokens: 300})
	file := filepath.Join(t.TempDir(), "half.safetensors")
	if err := Write(t.Context(), file, text, "BF16", nil); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name  string
		other *Trace
		want  bool
	}{
		{"itself", text, true},
		{"in bfloat16", open(t, file, Options{}), true},
		{"its beginning", open(t, "synth:layers=2,kv_heads=1,q_heads=2", Options{Tokens: 100}), true},
		{"another seed", open(t, "synth:layers=2,kv_heads=1,q_heads=2", Options{Tokens: 300, Seed: 2}), false},
		{"wider heads", open(t, "synth:layers=2,kv_heads=1,q_heads=2,head_dim=32", Options{Tokens: 300}), false},
		{"more heads", open(t, "synth:layers=2,kv_heads=2,q_heads=2", Options{Tokens: 300}), false},
	} {
		for _, pair := range [][2]*Trace{{text, c.other}, {c.other, text}} {
			if got, err := SameText(pair[0], pair[1]); err != nil || got != c.want {
				t.Errorf("%s: %v, %v, want %v", c.name, got, err, c.want)
			}
		}
	}
}
