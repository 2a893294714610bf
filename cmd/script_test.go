package cmd

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/gofrs/flock"
	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"kvgauge": func() { os.Exit(Main()) }, "killed": killed})
}

// TestScripts runs the whole program, one behaviour a script. $TESTDATA is the module's testdata.
func TestScripts(t *testing.T) {
	data, err := filepath.Abs(filepath.Join("..", "testdata"))
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir:                 filepath.Join("testdata", "script"),
		RequireExplicitExec: true,
		UpdateScripts:       os.Getenv("KVGAUGE_UPDATE") != "",
		Setup: func(e *testscript.Env) error {
			e.Setenv("TESTDATA", data)
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"usage": usage, "torn": torn, "hold": hold, "recipe": recipe, "full": full, "elsewhere": elsewhere},
	})
}

// usage runs kvgauge and wants a refusal: exit code 2, nothing on stdout, one line on stderr.
func usage(ts *testscript.TestScript, neg bool, args []string) {
	if neg {
		ts.Fatalf("usage does not take !")
	}
	err := ts.Exec("kvgauge", args...)
	if err == nil || err.Error() != "exit status 2" {
		ts.Fatalf("%v: %v, want exit status 2", args, err)
	}
	if out := ts.ReadFile("stdout"); out != "" {
		ts.Fatalf("%v: wrote to stdout: %s", args, out)
	}
	if line := ts.ReadFile("stderr"); strings.Count(line, "\n") != 1 || !strings.HasSuffix(line, "\n") {
		ts.Fatalf("%v: want one line on stderr, got %q", args, line)
	}
}

// torn DIR makes a finished folder one of a run that was killed while it wrote its last line.
func torn(ts *testscript.TestScript, _ bool, args []string) {
	records, manifest := ts.MkAbs(filepath.Join(args[0], "records.jsonl")), ts.MkAbs(filepath.Join(args[0], "run.json"))
	lines := ts.ReadFile(records)
	ts.Check(os.WriteFile(records, []byte(lines[:len(lines)-20]), 0o666))
	text := regexp.MustCompile(`"finished": ".*"`).ReplaceAllString(ts.ReadFile(manifest), `"finished": null`)
	ts.Check(os.WriteFile(manifest, []byte(text), 0o666))
}

// hold DIR writes to a folder, as another run would, until the script ends.
func hold(ts *testscript.TestScript, _ bool, args []string) {
	lock := flock.New(ts.MkAbs(filepath.Join(args[0], "run.lock")))
	if ok, err := lock.TryLock(); !ok || err != nil {
		ts.Fatalf("cannot lock %s: %v", args[0], err)
	}
	ts.Defer(func() { _ = lock.Close() })
}

// full runs kvgauge with its stdout on a full disk, and wants exit code 1 and one line that says so.
func full(ts *testscript.TestScript, neg bool, args []string) {
	if neg {
		ts.Fatalf("full does not take !")
	}
	err := ts.Exec("sh", append([]string{"-c", `exec kvgauge "$@" >/dev/full`, "kvgauge"}, args...)...)
	if err == nil || err.Error() != "exit status 1" {
		ts.Fatalf("%v: %v, want exit status 1", args, err)
	}
	if line := ts.ReadFile("stderr"); strings.Count(line, "\n") != 1 || !strings.Contains(line, "no space left on device") {
		ts.Fatalf("%v: want one line on stderr, got %q", args, line)
	}
}
