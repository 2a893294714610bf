package cmd

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"kvgauge/sim/record"
	"kvgauge/sim/trace"
)

// outputTrace is outputFile for a trace, which may be a folder that is not there yet.
func outputTrace(path *string, inputs ...string) error {
	if err := outputEnd(*path); err != nil {
		return err
	}
	if !trace.IsFolder(*path) {
		if err := outputFile("out", path, inputs...); err != nil {
			return err
		}
		return outputEnd(*path) // of the file that a link leads to
	}
	if _, err := os.Lstat(*path); err == nil {
		return &record.InputError{Option: "out", Value: *path, Err: errors.New("is there already, want the name of a new folder")}
	}
	return checkFolder("out", *path)
}

// outputEnd refuses a name whose end is of no container.
func outputEnd(path string) error {
	if err := trace.CheckEnd(path); err != nil {
		return &record.InputError{Option: "out", Value: path, Err: err}
	}
	return nil
}

// outputFile says why a file could not be put in place of an option's path: among others, since it is one of the inputs or
// in the folder of one. A link is kept: path becomes the file that it leads to.
func outputFile(option string, path *string, inputs ...string) error {
	why := func(err error) error { return &record.InputError{Option: option, Value: *path, Err: err} }
	if info, err := os.Lstat(*path); err == nil && info.Mode()&fs.ModeSymlink != 0 {
		target, err := filepath.EvalSymlinks(*path)
		if err != nil {
			return why(errors.New("a link to a file that is not there, want it there or no link"))
		}
		*path = target
	}
	switch info, err := os.Stat(*path); {
	case err == nil && info.IsDir():
		return why(errors.New("is a directory, want a file to write"))
	case err == nil && !info.Mode().IsRegular():
		return why(errors.New("not a regular file"))
	case err == nil:
		if in := inputOf(info, inputs); in != "" {
			return why(fmt.Errorf("is what is read (%s), want another file to write", in))
		}
	case !errors.Is(err, fs.ErrNotExist):
		return why(errors.Unwrap(err))
	}
	return checkFolder(option, *path)
}

// inputOf is the path by which one of the inputs, or a file in the folder of one, is the same file; "" where none is.
func inputOf(file fs.FileInfo, inputs []string) string {
	for _, in := range inputs {
		paths := []string{in}
		list, _ := os.ReadDir(in) // nothing of what is no folder
		for _, e := range list {
			paths = append(paths, filepath.Join(in, e.Name()))
		}
		for _, path := range paths {
			if info, err := os.Stat(path); err == nil && os.SameFile(info, file) {
				return path
			}
		}
	}
	return ""
}

// sameFile says whether two paths to write, none of them a link, lead to one place.
func sameFile(a, b string) bool {
	if infoA, err := os.Stat(a); err == nil {
		if infoB, err := os.Stat(b); err == nil {
			return os.SameFile(infoA, infoB)
		}
	}
	folderA, errA := os.Stat(filepath.Dir(a))
	folderB, errB := os.Stat(filepath.Dir(b))
	return errA == nil && errB == nil && os.SameFile(folderA, folderB) && filepath.Base(a) == filepath.Base(b)
}

// checkFolder says why nothing could be made beside an option's path.
func checkFolder(option, path string) error {
	why := func(err error) error { return &record.InputError{Option: option, Value: path, Err: err} }
	probe, err := os.CreateTemp(filepath.Dir(filepath.Clean(path)), ".kvgauge-*")
	var pathErr *fs.PathError
	if errors.As(err, &pathErr) {
		return why(fmt.Errorf("the folder cannot be written to: %w", pathErr.Err))
	}
	if err != nil {
		return why(err)
	}
	return errors.Join(probe.Close(), os.Remove(probe.Name()))
}
