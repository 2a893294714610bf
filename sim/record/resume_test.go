package record

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// begun makes a folder with two records and a half.
func begun(t *testing.T, dir string) Manifest {
	t.Helper()
	m := Manifest{Schema: Schema, Version: "1", Kernel: "k", Cells: 3, Settings: map[string]string{"seed": "1"}, Traces: []ManifestTrace{{Name: "t", SHA256: "abc"}}}
	f, err := NewFolder(dir, m, Same)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range []string{"one", "two"} {
		if err := f.Append(Record{Pipeline: p}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := f.records.WriteString(`{"schema":1,"pipe`); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	return m
}

func TestResumeFolderDropsHalfALine(t *testing.T) {
	dir := t.TempDir()
	m := begun(t, dir)
	f, err := ResumeFolder(dir, m)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Append(Record{Pipeline: "three"}); err != nil {
		t.Fatal(err)
	}
	if err := f.Finish(time.Now()); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	lines := strings.SplitAfter(read(t, filepath.Join(dir, RecordsFile)), "\n")
	if len(lines) != 4 || !strings.Contains(lines[2], `"pipeline":"three"`) {
		t.Errorf("%q", lines)
	}
}

// TestResumeFolderAfterEveryKill: what a kill leaves between any two steps of a beginning can be resumed.
func TestResumeFolderAfterEveryKill(t *testing.T) {
	m := Manifest{Schema: Schema, Cells: 1}
	for name, left := range map[string][]string{
		"nothing": {}, "the lock": {lockFile}, "half a manifest": {lockFile, "." + ManifestFile + "123"},
	} {
		dir := t.TempDir()
		for _, file := range left {
			if err := os.WriteFile(filepath.Join(dir, file), []byte("{"), 0o666); err != nil {
				t.Fatal(err)
			}
		}
		f, err := ResumeFolder(dir, m)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if err := f.Append(Record{}); err != nil {
			t.Error(err)
		}
		if err := f.Close(); err != nil {
			t.Error(err)
		}
		if entries, _ := os.ReadDir(dir); len(entries) != 3 {
			t.Errorf("%s: %v, want records, manifest and lock", name, entries)
		}
	}
	// The manifest is written, the records are not there yet.
	dir := t.TempDir()
	begun(t, dir)
	if err := os.Remove(filepath.Join(dir, RecordsFile)); err != nil {
		t.Fatal(err)
	}
	old, err := ReadManifest(dir)
	if err != nil {
		t.Fatal(err)
	}
	f, err := ResumeFolder(dir, old)
	if err != nil {
		t.Fatal(err)
	}
	if f.size != 0 {
		t.Errorf("%d bytes of records", f.size)
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
}

func TestResumeFolderRefuses(t *testing.T) {
	dir := t.TempDir()
	begun(t, dir)
	before := read(t, filepath.Join(dir, RecordsFile))
	for want, edit := range map[string]func(*Manifest){
		"version 1, not 2":                               func(m *Manifest) { m.Version = "2" },
		"trace t with sha256 abc, not t with def":        func(m *Manifest) { m.Traces = []ManifestTrace{{Name: "t", SHA256: "def"}} },
		"1 trace, not 0":                                 func(m *Manifest) { m.Traces = nil },
		"0 calibration traces, not 1":                    func(m *Manifest) { m.Calibrate = make([]ManifestTrace, 1) },
		"0 external results, not 1":                      func(m *Manifest) { m.External = make([]ManifestTrace, 1) },
		Opt + `seed "1", not "2"`:                        func(m *Manifest) { m.Settings = map[string]string{"seed": "2"} },
		Opt + `methods none, not "full,a:b=1,c"`:         func(m *Manifest) { m.Settings = map[string]string{"seed": "1", "methods": `["full,a:b=1",c]`} },
		Opt + `methods none, not "full"`:                 func(m *Manifest) { m.Settings = map[string]string{"seed": "1", "methods": `[full]`} },
		Opt + `kept none, not "true"`:                    func(m *Manifest) { m.Settings = map[string]string{"seed": "1", "kept": "true"} },
		"kernel k, not go":                               func(m *Manifest) { m.Kernel = "go" },
		Opt + "threads 0, not 3":                         func(m *Manifest) { m.Threads = 3 },
		"3 cells, not 4":                                 func(m *Manifest) { m.Cells = 4 },
		Opt + "shard none, not 1/2: nothing was changed": func(m *Manifest) { m.Shard = &ManifestShard{Index: 1, Count: 2} },
	} {
		m, err := ReadManifest(dir)
		if err != nil {
			t.Fatal(err)
		}
		edit(&m)
		if _, err := ResumeFolder(dir, m); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	if read(t, filepath.Join(dir, RecordsFile)) != before {
		t.Error("a refused folder was changed")
	}
}

func TestFolderIsOneRuns(t *testing.T) {
	dir := t.TempDir()
	f, err := NewFolder(dir, Manifest{Schema: Schema}, Same)
	if err != nil {
		t.Fatal(err)
	}
	begin := func(dir string, m Manifest) (*Folder, error) { return NewFolder(dir, m, Force) }
	for name, open := range map[string]func(string, Manifest) (*Folder, error){"new": begin, "resumed": ResumeFolder} {
		if _, err := open(dir, Manifest{Schema: Schema}); err == nil || !strings.Contains(err.Error(), "another run is writing to the folder") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if f, err = ResumeFolder(dir, Manifest{Schema: Schema}); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
}
