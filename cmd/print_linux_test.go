package cmd

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestTaskMemory runs what a printed job runs, with latency, and holds the memory that it takes against what the job
// asks for: an engine kills a task that takes more.
func TestTaskMemory(t *testing.T) {
	args := []string{"run", "--trace", "smollm2", "--lengths", "1k", "--methods", "full,snapkv", "--threads", "2"}
	job := &strings.Builder{}
	s := &system{args: append(args, "--print", "slurm"), out: job, err: io.Discard, now: time.Now}
	if code := execute(t.Context(), s); code != exitOK {
		t.Fatalf("exit code %d", code)
	}
	number := func(pattern string) (text string, mib int64) {
		found := regexp.MustCompile(pattern).FindStringSubmatch(job.String())
		if found == nil {
			t.Fatalf("no %s in %s", pattern, job)
		}
		mib, err := strconv.ParseInt(found[1], 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		return found[0], mib
	}
	heap, _ := number(`--max-memory=(\d+)MiB`)
	_, asked := number(`--mem=(\d+)M`)

	c := exec.Command(os.Args[0], append(args, heap, "--no-plots", "--out", filepath.Join(t.TempDir(), "out"))...)
	c.Args[0] = "kvgauge" // TestMain: by this name the test's binary is kvgauge
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if took := c.ProcessState.SysUsage().(*syscall.Rusage).Maxrss >> 10; took > asked {
		t.Errorf("the run took %d MiB, the job asks for %d", took, asked)
	} else {
		t.Logf("the run took %d of %d MiB", took, asked)
	}
}
