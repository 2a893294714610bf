package record

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestFolder(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	f, err := NewFolder(dir, Manifest{Schema: Schema, Args: []string{"run"}, Cells: 2}, Same)
	if err != nil {
		t.Fatal(err)
	}
	for _, pipeline := range []string{"one", "two"} {
		if err := f.Append(Record{Schema: Schema, Pipeline: pipeline}); err != nil {
			t.Fatal(err)
		}
	}
	if err := CheckFolder(dir, Manifest{}, Same); err == nil || !strings.Contains(err.Error(), "unfinished run") {
		t.Errorf("an unfinished folder: %v", err)
	}
	if err := f.WriteFile("summary.csv", []byte("x\n")); err != nil {
		t.Error(err)
	}
	if err := f.WriteFile("../other", nil); err == nil {
		t.Error("a file that is no output was written")
	}
	now := time.Date(2026, 11, 1, 2, 3, 4, 0, time.UTC)
	if err := f.Finish(now); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
	lines := read(t, filepath.Join(dir, RecordsFile))
	if strings.Count(lines, "\n") != 2 || !strings.HasSuffix(lines, "\n") {
		t.Errorf("records: %q", lines)
	}
	var m Manifest
	if err := json.Unmarshal([]byte(read(t, filepath.Join(dir, ManifestFile))), &m); err != nil || m.Finished == nil || !m.Finished.Equal(now) {
		t.Errorf("manifest %+v, %v", m, err)
	}

	// A finished folder is replaced: outputs of the run before are gone, other files stay.
	keep := filepath.Join(dir, "notes.txt")
	if err := os.WriteFile(keep, []byte("mine"), 0o666); err != nil {
		t.Fatal(err)
	}
	if f, err = NewFolder(dir, Manifest{Schema: Schema}, Same); err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := os.Stat(filepath.Join(dir, "summary.csv")); err == nil {
		t.Error("an output of the run before is still there")
	}
	if read(t, keep) != "mine" || read(t, filepath.Join(dir, RecordsFile)) != "" {
		t.Error("want the other file kept and the records begun anew")
	}
}

func TestCheckFolderRefuses(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	write := func(path, text string) {
		if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	write(file, "x")
	write(filepath.Join(dir, "other", "thesis.tex"), "x")
	write(filepath.Join(dir, "broken", ManifestFile), "{")
	write(filepath.Join(dir, "foreign", ManifestFile), `{"finished":"2026-01-01T00:00:00Z"}`)
	for path, want := range map[string]string{
		file:                          "want a folder",
		filepath.Join(dir, "other"):   "not empty and not kvgauge's",
		filepath.Join(dir, "broken"):  "not empty and not kvgauge's",
		filepath.Join(dir, "foreign"): "not empty and not kvgauge's",
	} {
		if err := CheckFolder(path, Manifest{}, Same); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", path, err, want)
		}
	}
	if err := CheckFolder(filepath.Join(dir, "new"), Manifest{}, Same); err != nil {
		t.Error(err)
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestFolderOfOthers: a finished run gives way to one that was asked for the same, to others by force alone.
func TestFolderOfOthers(t *testing.T) {
	dir := t.TempDir()
	run := func(seed, hash string) Manifest {
		return Manifest{Schema: Schema, Settings: map[string]string{"seed": seed}, Traces: []ManifestTrace{{Name: "t", SHA256: hash}}}
	}
	begin := func(m Manifest, over Over) error {
		f, err := NewFolder(dir, m, over)
		if err != nil {
			return err
		}
		if err := f.Finish(time.Now()); err != nil {
			t.Fatal(err)
		}
		return f.Close()
	}
	if err := begin(run("1", "a"), Same); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		m    Manifest
		over Over
		want string
	}{
		{run("1", "a"), Same, ""},
		{run("2", "a"), Same, `the run in it has --seed "1", not "2": --force replaces it`},
		{run("1", "b"), Same, "the run in it has trace t with sha256 a, not t with b: --force replaces it"},
		{run("2", "b"), Force, ""},
		{run("2", "b"), Same, ""},
	} {
		err := begin(tt.m, tt.over)
		if got := fmt.Sprint(err); tt.want == "" && err != nil || !strings.Contains(strings.ReplaceAll(got, Opt, "--"), tt.want) {
			t.Errorf("seed %s, trace %s: %v, want %q", tt.m.Settings["seed"], tt.m.Traces[0].SHA256, err, tt.want)
		}
	}
	if err := CheckFolder(dir, Manifest{Settings: map[string]string{"seed": "3"}}, Same); err == nil || !strings.Contains(err.Error(), "force") {
		t.Errorf("before traces are read: %v", err)
	}
}
