package record

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/gofrs/flock"
	"github.com/google/renameio/v2/maybe"
)

// The files of an output folder that this package writes.
const (
	RecordsFile  = "records.jsonl"
	ManifestFile = "run.json"
	lockFile     = "run.lock" // held by the run that writes; it stays, empty, as removing it would race
)

// outputs are all files that a run may leave in its folder; a new run replaces them.
var outputs = []string{
	RecordsFile, ManifestFile, "summary.md", "summary.csv",
	"bytes.png", "latency.png", "error.png", "tradeoff.png",
	"bytes.svg", "latency.svg", "error.svg", "tradeoff.svg", "index.html",
}

// Folder is the output folder of one run, which nobody else may write to until it is closed.
type Folder struct {
	path     string
	manifest Manifest
	lock     *flock.Flock
	records  *os.File
	size     int64 // bytes of whole lines
}

// Over says what a run may do with a run that its folder holds already.
type Over int

const (
	Same   Over = iota // replace a finished one that was asked for the same
	Resume             // go on with it
	Force              // replace any
)

// CheckFolder says why a run that m describes, so far as it is known, may not write to path: it is not a folder, holds an
// unfinished run, or one that was asked for something else, or holds something that is not kvgauge's. A folder that does
// not exist may be made.
func CheckFolder(path string, m Manifest, over Over) error {
	used, err := inUse(path)
	if err != nil || !used {
		return Input(err)
	}
	held, err := ReadManifest(path)
	switch {
	case err != nil:
		return inputf("%s: the folder is not empty and not kvgauge's: nothing was changed", path)
	case over != Same:
		return nil
	case held.Finished == nil:
		return inputf("%s: the folder holds an unfinished run: "+Opt+"resume goes on with it, where no other process does, and "+Opt+"force drops it", path)
	}
	if why := held.asks(m); why != "" {
		return inputf("%s: the run in it has %s: "+Opt+"force replaces it", path, why)
	}
	return nil
}

// inUse says whether a folder holds anything, the traces of a run that was killed before it wrote its
// manifest apart.
func inUse(path string) (bool, error) {
	entries, err := os.ReadDir(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("%s: want a folder that can be read: %w", path, errors.Unwrap(err))
	}
	return slices.ContainsFunc(entries, func(e fs.DirEntry) bool {
		return e.Name() != lockFile && !temporary(e.Name(), ManifestFile)
	}), nil
}

// temporary says whether an entry is what a killed run left of replacing an output.
func temporary(entry, output string) bool { return strings.HasPrefix(entry, "."+output) }

// NewFolder makes the folder, removes the files of a run in it that may be replaced and writes the manifest. A kill at any
// moment leaves the old run, or the new one without records.
func NewFolder(path string, m Manifest, over Over) (*Folder, error) {
	f, err := lock(path)
	if err != nil {
		return nil, err
	}
	if err := f.begin(m, over); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// ResumeFolder opens the folder of a run that was cut short, to append to its records; half a line at
// their end is dropped. It refuses a run of other arguments, traces or versions than m's. Where there is
// no run yet it is NewFolder.
func ResumeFolder(path string, m Manifest) (*Folder, error) {
	f, err := lock(path)
	if err != nil {
		return nil, err
	}
	if err := f.resume(m); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// lock makes the folder where it is missing, and takes it.
func lock(path string) (*Folder, error) {
	if err := CheckFolder(path, Manifest{}, Force); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(path, 0o777); err != nil {
		return nil, err
	}
	f := &Folder{path: path, lock: flock.New(filepath.Join(path, lockFile), flock.SetPermissions(0o666))}
	switch ok, err := f.lock.TryLock(); {
	case err != nil:
		return nil, inputf("%s: cannot lock it: %w", path, err)
	case !ok:
		return nil, inputf("%s: another run is writing to the folder", path)
	}
	return f, nil
}

// begin starts a run in a folder that is empty or holds one that may be replaced. The records go before the old
// manifest is replaced: they are never taken for those of the new one.
func (f *Folder) begin(m Manifest, over Over) error {
	if err := CheckFolder(f.path, m, over); err != nil {
		return err
	}
	f.manifest = m
	if err := f.remove(RecordsFile); err != nil {
		return err
	}
	if err := f.writeManifest(); err != nil {
		return err
	}
	for _, name := range outputs {
		if name != ManifestFile {
			if err := f.remove(name); err != nil {
				return err
			}
		}
	}
	return f.open()
}

// resume goes on with the run that the folder holds.
func (f *Folder) resume(m Manifest) error {
	used, err := inUse(f.path)
	if err != nil {
		return err
	}
	if !used {
		return f.begin(m, Same)
	}
	if f.manifest, err = ReadManifest(f.path); err != nil {
		return err
	}
	if why := f.manifest.resumes(m); why != "" {
		return inputf("%s: the run in it has %s: nothing was changed", f.path, why)
	}
	return f.open()
}

// remove removes an output where it is there.
func (f *Folder) remove(name string) error {
	err := os.Remove(filepath.Join(f.path, name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// sweep removes what a killed run left of replacing its outputs.
func (f *Folder) sweep() error {
	entries, err := os.ReadDir(f.path)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if slices.ContainsFunc(outputs, func(name string) bool { return temporary(e.Name(), name) }) {
			if err := f.remove(e.Name()); err != nil {
				return err
			}
		}
	}
	return nil
}

// open opens the records to append to, without the half line that a killed run may have left.
func (f *Folder) open() error {
	err := f.sweep()
	if err != nil {
		return err
	}
	f.records, err = os.OpenFile(filepath.Join(f.path, RecordsFile), os.O_CREATE|os.O_RDWR|os.O_APPEND, 0o666)
	if err != nil {
		return err
	}
	if f.size, err = wholeLines(f.records); err != nil {
		return err
	}
	return f.records.Truncate(f.size)
}

// wholeLines returns the number of bytes up to and including the last line feed.
func wholeLines(f *os.File) (int64, error) {
	end, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return 0, err
	}
	block := make([]byte, 64<<10)
	for end > 0 {
		from := max(0, end-int64(len(block)))
		part := block[:end-from]
		if _, err := f.ReadAt(part, from); err != nil && !errors.Is(err, io.EOF) {
			return 0, err
		}
		if i := bytes.LastIndexByte(part, '\n'); i >= 0 {
			return from + int64(i) + 1, nil
		}
		end = from
	}
	return 0, nil
}

// Append writes a record as one line, in one write: a run that is killed leaves whole lines, the last
// one at most torn. A line that does not fit on the disk is taken back.
func (f *Folder) Append(r Record) error {
	line, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("record of %s: %w", r.Cell(), err)
	}
	n, err := f.records.Write(append(line, '\n'))
	if err != nil {
		return errors.Join(err, f.records.Truncate(f.size))
	}
	f.size += int64(n)
	return nil
}

// WriteFile writes one of the run's outputs whole, or not at all.
func (f *Folder) WriteFile(name string, data []byte) error {
	if !slices.Contains(outputs, name) {
		return fmt.Errorf("%s is not an output of a run", name)
	}
	return maybe.WriteFile(filepath.Join(f.path, name), data, 0o666)
}

// Finish marks the run as complete, once its records are on the disk.
func (f *Folder) Finish(now time.Time) error {
	if err := f.records.Sync(); err != nil {
		return err
	}
	f.manifest.Finished = &now
	return f.writeManifest()
}

// Close lets go of the folder.
func (f *Folder) Close() error {
	var err error
	if f.records != nil {
		err = f.records.Close()
	}
	return errors.Join(err, f.lock.Close())
}

func (f *Folder) writeManifest() error {
	data, err := json.MarshalIndent(f.manifest, "", "  ")
	if err != nil {
		return err
	}
	return f.WriteFile(ManifestFile, append(data, '\n'))
}
