package cmd

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"kvgauge/sim"
	"kvgauge/sim/record"
)

// TestSplitTraces cuts at commas, but neither synth's parameters nor the names of files.
func TestSplitTraces(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.WriteFile("a,b.safetensors", nil, 0o666); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ args, want []string }{
		{[]string{"smollm2"}, []string{"smollm2"}},
		{[]string{"smollm2,bytelm", "synth"}, []string{"smollm2", "bytelm", "synth"}},
		{[]string{"smollm2, synth:layers=2, q_heads=4 ,bytelm"}, []string{"smollm2", "synth:layers=2,q_heads=4", "bytelm"}},
		{[]string{"synth:layers=2,q_heads=4,smollm2"}, []string{"synth:layers=2,q_heads=4", "smollm2"}},
		{[]string{"smollm2,synth:layers=2,q_heads=4,kv_heads=2"}, []string{"smollm2", "synth:layers=2,q_heads=4,kv_heads=2"}},
		{[]string{"a,b.safetensors"}, []string{"a,b.safetensors"}},
	} {
		if got := splitTraces(c.args); !slices.Equal(got, c.want) {
			t.Errorf("%q: %q, want %q", c.args, got, c.want)
		}
	}
}

// TestParseLengths: a range doubles, and its end is of it wherever that falls.
func TestParseLengths(t *testing.T) {
	for text, want := range map[string][]int{
		"512": {512}, "512..2k": {512, 1024, 2048}, "4k..5k": {4096, 5120}, "100..450,200": {100, 200, 400, 450}, "7..7": {7}, "8k, 512": {8192, 512},
	} {
		if got, err := parseLengths(text); err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: %v, %v, want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "0", "-1", "5k..4k", "1..", "..4", "4..8..16", "1,", "x", "1M"} {
		if got, err := parseLengths(text); err == nil {
			t.Errorf("%q: %v, want an error", text, got)
		}
	}
}

func TestParseShard(t *testing.T) {
	for text, want := range map[string]sim.Shard{"0/1": {Index: 0, Count: 1}, "3/4": {Index: 3, Count: 4}, "9999/10000": {Index: 9999, Count: 10000}} {
		if got, err := parseShard(text); err != nil || got != want {
			t.Errorf("%s: %v, %v", text, got, err)
		}
	}
}

// FuzzParseShard: what is read is a shard that there is.
func FuzzParseShard(f *testing.F) {
	for _, text := range []string{"0/4", "5/3", "-1/2", "1", "/", "1/2/3", "99999999999999999999/1", "0/0", " 0/1"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := parseShard(text)
		if err == nil && (s.Index < 0 || s.Index >= s.Count || s.Count > maxShards) {
			t.Errorf("%q is %v", text, s)
		}
		if err != nil && !strings.HasPrefix(err.Error(), record.Opt+"shard ") {
			t.Errorf("%q: %v", text, err)
		}
	})
}

// FuzzParseGrowth: what is read is a share of 0 or more.
func FuzzParseGrowth(f *testing.F) {
	for _, text := range []string{"0%", "1%", "2.5%", "-1%", "1", "NaN%", "Inf%", "%", "1e308%", "1e400%"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if g, err := parseGrowth("max-error", text); err == nil && !(g >= 0 && g <= 1e308) {
			t.Errorf("%q is %v", text, g)
		}
	})
}

func TestShellWord(t *testing.T) {
	for word, want := range map[string]string{
		"--lengths=1k,2k": "--lengths=1k,2k", "": "''", "a b": "'a b'", "it's": `'it'\''s'`, "$(x)": "'$(x)'", "a\nb": "'a\nb'", "~/x": "'~/x'",
	} {
		if got := shellWord(word); got != want {
			t.Errorf("%q: %s, want %s", word, got, want)
		}
	}
}

// TestExamplesHaveFoldersOfTheirOwn: the examples of a command can be run one after the other, and a folder that holds another run is
// refused.
func TestExamplesHaveFoldersOfTheirOwn(t *testing.T) {
	var look func(c *cobra.Command)
	look = func(c *cobra.Command) {
		seen := map[string]string{}
		for line := range strings.Lines(c.Example) {
			first, _, _ := strings.Cut(line, "&&")
			first, _, _ = strings.Cut(first, "|")
			words := strings.Fields(first)
			if len(words) < 2 || words[0] != "kvgauge" || words[1] != "run" || slices.Contains(words, "--resume") {
				continue
			}
			run, f := newRunFlags(&system{})
			if err := run.ParseFlags(words[2:]); err != nil {
				t.Errorf("%s: %v", line, err)
			}
			if other := seen[f.out]; other != "" {
				t.Errorf("%s and %s have the folder %s", other, line, f.out)
			}
			seen[f.out] = line
		}
		for _, sub := range c.Commands() {
			look(sub)
		}
	}
	look(newRoot(&system{}))
}
