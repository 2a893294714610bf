package cmd

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"kvgauge/report"
)

// TestKilledRunsResume kills 20 runs at random moments and resumes each: the records are those of a run that
// nobody killed, latencies apart. Half of the moments are random in time, from before the first byte to the
// last file; the others are random in the records, which take a small part of that time.
func TestKilledRunsResume(t *testing.T) {
	kvgauge := func(args ...string) *exec.Cmd {
		c := exec.Command(os.Args[0], args...) // TestMain: by this name the test's binary is kvgauge
		c.Args[0] = "kvgauge"
		return c
	}
	golden := filepath.Join("..", "testdata", "goldens", "tiny", "trace.safetensors")
	args := func(out string) []string {
		return []string{"run", "--trace", golden, "--lengths", "64,96", "--repeats", "2", "--kept", "--out", out}
	}
	dir := t.TempDir()
	whole := filepath.Join(dir, "whole")
	start := time.Now()
	if out, err := kvgauge(args(whole)...).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	span := time.Since(start)
	want, bytes := untimed(t, whole), len(readFile(t, filepath.Join(whole, "records.jsonl")))

	r := rand.New(rand.NewPCG(1, 2))
	partial := 0
	for i := range 20 {
		out := filepath.Join(dir, string(rune('a'+i)))
		c := kvgauge(args(out)...)
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		deadline, size := time.Now().Add(2*span), int64(r.Float64()*float64(bytes))
		if i%2 == 0 {
			deadline, size = time.Now().Add(time.Duration(r.Float64()*float64(span))), math.MaxInt64
		}
		for time.Now().Before(deadline) {
			if info, err := os.Stat(filepath.Join(out, "records.jsonl")); err == nil && info.Size() >= size {
				break
			}
			time.Sleep(100 * time.Microsecond)
		}
		if err := c.Process.Kill(); err != nil {
			t.Log(err) // it was faster
		}
		_ = c.Wait()
		lines, _ := os.ReadFile(filepath.Join(out, "records.jsonl"))
		if n := strings.Count(string(lines), "\n"); n > 0 && n < strings.Count(want, "\n") {
			partial++
		}
		if text, err := kvgauge(append(args(out), "--resume")...).CombinedOutput(); err != nil {
			t.Fatalf("kill %d, after %d bytes of records: %v: %s", i, len(lines), err, text)
		}
		if got := untimed(t, out); got != want {
			t.Errorf("kill %d: the records differ from those of a whole run", i)
		}
		for _, name := range []string{"summary.md", "summary.csv", "bytes.png", "error.png", "tradeoff.png", "latency.png"} {
			if _, err := os.Stat(filepath.Join(out, name)); err != nil {
				t.Errorf("kill %d: %v", i, err)
			}
		}
	}
	if partial == 0 {
		t.Error("no kill left some of the records, want several")
	}
	t.Logf("%d of 20 kills left some of the records", partial)
}

// untimed are the records of a folder without what differs from run to run.
func untimed(t *testing.T, dir string) string {
	t.Helper()
	records, err := report.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, r := range records {
		r.Latency = nil
		line, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		b.Write(append(line, '\n'))
	}
	return b.String()
}
