package record

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestFolder(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	f, err := NewFolder(dir, Manifest{Schema: Schema, Args: []string{"run"}, Cells: 2})
	if err != nil {
		t.Fatal(err)
	}
	for _, pipeline := range []string{"one", "two"} {
		if err := f.Append(Record{Schema: Schema, Pipeline: pipeline}); err != nil {
			t.Fatal(err)
		}
	}
	if err := CheckFolder(dir, false); err == nil || !strings.Contains(err.Error(), "unfinished run") {
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
	if f, err = NewFolder(dir, Manifest{Schema: Schema}); err != nil {
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
		if err := CheckFolder(path, false); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", path, err, want)
		}
	}
	if err := CheckFolder(filepath.Join(dir, "new"), false); err != nil {
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
