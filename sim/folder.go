package sim

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/google/renameio/v2/maybe"

	"kvgauge/sim/kernel"
)

// The files of an output folder that this package writes.
const (
	RecordsFile  = "records.jsonl"
	ManifestFile = "run.json"
)

// outputs are all files that a run may leave in its folder; a new run replaces them.
var outputs = []string{
	RecordsFile, ManifestFile, "summary.md", "summary.csv",
	"bytes.png", "latency.png", "error.png", "tradeoff.png", "index.html",
}

// Manifest is run.json: what a run was asked for, and on which machine it ran.
type Manifest struct {
	Schema   int             `json:"schema"`
	Args     []string        `json:"args"`
	Seed     uint64          `json:"seed"`
	Version  string          `json:"version"`
	Machine  Machine         `json:"machine"`
	Kernel   string          `json:"kernel"`
	Threads  int             `json:"threads"`
	Limits   *kernel.Limits  `json:"limits"` // measured before the first cell; null where nothing is timed
	Traces   []ManifestTrace `json:"traces"`
	Cells    int             `json:"cells"`
	Started  time.Time       `json:"started"`
	Finished *time.Time      `json:"finished"` // null while the run goes on, and after one that was cut short
}

// ManifestTrace identifies a trace.
type ManifestTrace struct {
	Name   string `json:"name"`
	SHA256 string `json:"sha256"`
	Source string `json:"source"`
}

// Folder is the output folder of one run.
type Folder struct {
	path     string
	manifest Manifest
	records  *os.File
}

// CheckFolder says why a run may not write to path: it is not a folder, holds an unfinished run, or holds
// something that is not kvgauge's. A folder that does not exist may be made.
func CheckFolder(path string) error {
	entries, err := os.ReadDir(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("%s: want a folder that can be read: %w", path, errors.Unwrap(err))
	case len(entries) == 0:
		return nil
	}
	data, err := os.ReadFile(filepath.Join(path, ManifestFile))
	var m Manifest
	if err != nil || json.Unmarshal(data, &m) != nil || m.Schema == 0 {
		return fmt.Errorf("%s: the folder is not empty and not kvgauge's: nothing was changed", path)
	}
	if m.Finished == nil {
		return fmt.Errorf("%s: the folder holds an unfinished run, which this version cannot go on with (it has no --resume): remove it or name another", path)
	}
	return nil
}

// NewFolder makes the folder, removes the files of a finished run in it and writes the manifest.
func NewFolder(path string, m Manifest) (*Folder, error) {
	if err := CheckFolder(path); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(path, 0o777); err != nil {
		return nil, err
	}
	for _, name := range outputs {
		if err := os.Remove(filepath.Join(path, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
	}
	f := &Folder{path: path, manifest: m}
	if err := f.writeManifest(); err != nil {
		return nil, err
	}
	var err error
	f.records, err = os.OpenFile(filepath.Join(path, RecordsFile), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o666)
	return f, err
}

// Append writes a record as one line, in one write: a run that is killed leaves whole lines, the last
// one at most torn.
func (f *Folder) Append(r Record) error {
	line, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("record of %s: %w", r.Pipeline, err)
	}
	_, err = f.records.Write(append(line, '\n'))
	return err
}

// WriteFile writes one of the run's outputs whole, or not at all.
func (f *Folder) WriteFile(name string, data []byte) error {
	if !slices.Contains(outputs, name) {
		return fmt.Errorf("%s is not an output of a run", name)
	}
	return maybe.WriteFile(filepath.Join(f.path, name), data, 0o666)
}

// Finish marks the run as complete.
func (f *Folder) Finish(now time.Time) error {
	f.manifest.Finished = &now
	return f.writeManifest()
}

// Close releases the records file.
func (f *Folder) Close() error { return f.records.Close() }

func (f *Folder) writeManifest() error {
	data, err := json.MarshalIndent(f.manifest, "", "  ")
	if err != nil {
		return err
	}
	return f.WriteFile(ManifestFile, append(data, '\n'))
}
