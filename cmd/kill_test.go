package cmd

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"kvgauge/sim/record"
)

// killed is a program of the test's binary: kvgauge, killed as soon as it reports the cell whose number is the
// first argument, or, where that is 0, as it prints the table, its last act.
func killed() {
	cell, err := strconv.Atoi(os.Args[1])
	if err != nil {
		panic(err)
	}
	s := &system{args: os.Args[2:], out: io.Discard, err: &killer{cell}, now: time.Now}
	if cell == 0 {
		s.out, s.err = &killer{1}, io.Discard
	}
	os.Exit(execute(context.Background(), s))
}

// killer kills the process that writes its nth line.
type killer struct{ lines int }

func (k *killer) Write(p []byte) (int, error) {
	if bytes.HasSuffix(p, []byte("ignored\n")) { // of the trace's file, before any cell
		return len(p), nil
	}
	if k.lines -= bytes.Count(p, []byte("\n")); k.lines <= 0 {
		self, err := os.FindProcess(os.Getpid())
		if err == nil {
			err = self.Kill()
		}
		if err != nil {
			panic(err)
		}
		select {} // until it happens
	}
	return len(p), nil
}

// TestKilledRunsResume kills runs and resumes each: the records are those of a run that nobody killed, latencies
// apart. Runs are killed after a number of cells, and at random moments from before the first byte to the last
// file.
func TestKilledRunsResume(t *testing.T) {
	golden := filepath.Join("..", "testdata", "goldens", "tiny", "trace.safetensors")
	files := []string{"summary.md", "summary.csv", "bytes.png", "error.png", "tradeoff.png"}
	step, moments := 14, 1
	if long() {
		step, moments = 3, 10
	}
	for _, c := range []struct {
		name    string
		flags   []string
		files   []string
		step    int // between the numbers of cells
		moments int
	}{
		{"errors", []string{"--lengths", "64,96", "--no-latency"}, files, step, moments},
		{"latency", []string{"--lengths", "64", "--methods", "full,snapkv", "--repeats", "2"}, append(files, "latency.png"), 1, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			run := func(program, out string, first ...string) *exec.Cmd {
				args := append(first, "run", "--trace", golden, "--kept", "--progress", "on", "--out", out)
				e := exec.Command(os.Args[0], append(args, c.flags...)...)
				e.Args[0] = program // TestMain: by its name the test's binary is the program
				return e
			}
			start, whole := time.Now(), filepath.Join(dir, "whole")
			if text, err := run("kvgauge", whole).CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, text)
			}
			span, want := time.Since(start), untimed(t, whole)
			cells := strings.Count(want, "\n")

			resume := func(what, out string) {
				e := run("kvgauge", out)
				e.Args = append(e.Args, "--resume")
				if text, err := e.CombinedOutput(); err != nil {
					t.Fatalf("%s: %v: %s", what, err, text)
				}
				if untimed(t, out) != want {
					t.Errorf("%s: the records differ from those of a whole run", what)
				}
				for _, name := range c.files {
					if _, err := os.Stat(filepath.Join(out, name)); err != nil {
						t.Errorf("%s: %v", what, err)
					}
				}
			}
			for n := 0; n <= cells; n += c.step {
				what := "killed after cell " + strconv.Itoa(n)
				out := filepath.Join(dir, strconv.Itoa(n))
				text, err := run("killed", out, strconv.Itoa(n)).CombinedOutput()
				if exit := new(exec.ExitError); !errors.As(err, &exit) || len(text) > 0 {
					t.Fatalf("%s: %v: %s", what, err, text)
				}
				left := n
				if n == 0 {
					left = cells
				}
				if got := strings.Count(readFile(t, filepath.Join(out, "records.jsonl")), "\n"); got != left {
					t.Errorf("%s: %d records are left, want %d", what, got, left)
				}
				resume(what, out)
			}
			r := rand.New(rand.NewPCG(1, 2))
			for i := range c.moments {
				out := filepath.Join(dir, "moment"+strconv.Itoa(i))
				e := run("kvgauge", out)
				if err := e.Start(); err != nil {
					t.Fatal(err)
				}
				moment := time.Duration(r.Float64() * float64(min(span, time.Second)))
				time.Sleep(moment) // whatever it has done by then, the run can be resumed
				if err := e.Process.Kill(); err != nil {
					t.Log(err) // it was faster
				}
				_ = e.Wait()
				resume("killed after "+moment.String(), out)
			}
		})
	}
}

// untimed are the records of a folder without what differs from run to run.
func untimed(t *testing.T, dir string) string {
	t.Helper()
	records, err := record.Load(dir)
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
