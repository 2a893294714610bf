package cmd

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func readFile(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// cancelAfter is a stream that cancels a context at its nth line.
type cancelAfter struct {
	bytes.Buffer
	lines  int
	cancel func()
}

func (c *cancelAfter) Write(p []byte) (int, error) {
	if c.lines -= bytes.Count(p, []byte("\n")); c.lines <= 0 {
		c.cancel()
	}
	return c.Buffer.Write(p)
}

// TestInterruptKeepsFinishedCells cancels a run after its second cell: exit code 1, both records whole,
// the folder marked as unfinished, nothing on stdout.
func TestInterruptKeepsFinishedCells(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	dir := filepath.Join(t.TempDir(), "out")
	var out bytes.Buffer
	stderr := &cancelAfter{lines: 2 + 2, cancel: cancel} // two name fields that the golden has besides
	golden := filepath.Join("..", "testdata", "goldens", "tiny", "trace.safetensors")
	s := &system{out: &out, err: stderr, now: time.Now, args: []string{
		"run", "--trace", golden, "--methods", "all", "--lengths", "96", "--decode", "16", "--budget", "24",
		"--no-latency", "--progress", "on", "--out", dir,
	}}
	code := execute(ctx, s)
	if code != exitFailure || out.Len() > 0 || !strings.Contains(stderr.String(), "interrupted: 2 of ") {
		t.Errorf("exit code %d, stdout %q, stderr %q", code, out.String(), stderr.String())
	}
	if records := readFile(t, filepath.Join(dir, "records.jsonl")); strings.Count(records, "\n") != 2 || !strings.HasSuffix(records, "}\n") {
		t.Errorf("records.jsonl holds %q, want two whole lines", records)
	}
	if manifest := readFile(t, filepath.Join(dir, "run.json")); !strings.Contains(manifest, `"finished": null`) {
		t.Errorf("run.json: %s", manifest)
	}
}

// TestInterruptedDryRun ends with 1, and prints no plan.
func TestInterruptedDryRun(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var out, stderr bytes.Buffer
	golden := filepath.Join("..", "testdata", "goldens", "tiny", "trace.safetensors")
	args := []string{"run", "--trace", golden, "--methods", "full,snapkv", "--budget", "24", "--no-latency", "--dry-run"}
	s := &system{args: args, out: &out, err: &stderr, now: time.Now}
	code := execute(ctx, s)
	if code != exitFailure || out.Len() > 0 || stderr.String() != "kvgauge: interrupted: nothing was measured\n" {
		t.Errorf("exit code %d, stdout %q, stderr %q", code, out.String(), stderr.String())
	}
}
