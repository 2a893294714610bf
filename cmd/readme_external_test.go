package cmd

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"kvgauge/sim/record"
)

// TestReadmeExternal runs the Python example of the README on the records of a run, and wants the files that it
// writes to score as the method did. It needs Python with safetensors and numpy.
func TestReadmeExternal(t *testing.T) {
	readme := readFile(t, filepath.Join("..", "README.md"))
	_, after, _ := strings.Cut(readme, "```python\n")
	example, _, ok := strings.Cut(after, "```")
	if lines := strings.Count(example, "\n"); !ok || lines != 12 {
		t.Fatalf("the example has %d lines, want 12", lines)
	}
	if err := exec.Command("python3", "-c", "import numpy, safetensors.numpy").Run(); err != nil {
		t.Skip("no python3 with safetensors and numpy: ", err)
	}
	trace, err := filepath.Abs(filepath.Join("..", "testdata", "goldens", "gqa", "trace.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(t.TempDir())
	run := func(args ...string) record.Record {
		t.Helper()
		args = append([]string{"run", "--trace", trace, "--lengths", "320", "--no-latency", "--no-plots", "--force"}, args...)
		out, err := exec.Command("kvgauge", args...).CombinedOutput()
		if err != nil {
			t.Fatalf("kvgauge %s: %v: %s", strings.Join(args, " "), err, out)
		}
		lines := strings.Split(strings.TrimSpace(readFile(t, "kvgauge-out/records.jsonl")), "\n")
		var rec record.Record
		if err := json.Unmarshal([]byte(lines[len(lines)-1]), &rec); err != nil {
			t.Fatal(err)
		}
		return rec
	}
	want := run("--methods", "snapkv", "--kept")
	if err := os.WriteFile("example.py", []byte(example), 0o666); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("python3", "example.py").CombinedOutput(); err != nil {
		t.Fatalf("the example: %v: %s", err, out)
	}
	got := run("--methods", "full", "--external", "theirs=theirs-320.safetensors")
	if got.Pipeline != "theirs" || got.Error == nil || got.Error.RelL2 != want.Error.RelL2 || *got.CacheBytes != *want.CacheBytes {
		t.Errorf("got %+v, want what %+v has", got, want)
	}
}
