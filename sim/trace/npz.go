package trace

import (
	"archive/zip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
)

// maxDeflate is the largest ratio that deflate reaches: 258 bytes for 2 bits.
const maxDeflate = 1032

// openNPZ reads an archive of npy files as numpy.savez and savez_compressed write it. A deflated member
// is inflated from its beginning up to the rows that are asked for.
func openNPZ(r io.ReaderAt, size int64, name string, release func() error) (*container, error) {
	z, err := zip.NewReader(r, size)
	if err != nil {
		if kind := kindOf(r, size); kind != "" && kind != kindZip {
			return nil, fmt.Errorf("%s, want an npz archive", kind)
		}
		return nil, fmt.Errorf("%w, want an npz archive", err)
	}
	members := map[string]member{}
	for _, f := range z.File {
		if f.Name != metadataFile && !strings.HasSuffix(f.Name, npyExt) {
			continue
		}
		if _, ok := members[f.Name]; ok {
			return nil, fmt.Errorf("member %s: comes twice", printable(f.Name))
		}
		if err := checkMember(f, size); err != nil {
			return nil, within("member", f.Name, err)
		}
		members[f.Name] = memberOf(f, r)
	}
	if len(members) == 0 {
		return nil, fmt.Errorf("%s, want an npz archive", kindOfZip(z))
	}
	if err := wantArrays(members); err != nil {
		return nil, err
	}
	if err := checkSums(z.File, members); err != nil {
		return nil, err
	}
	c, err := openNPY(members, name)
	if err != nil {
		return nil, err
	}
	c.release = release
	c.sum = sync.OnceValues(func() (string, error) { return sha256Of(io.NewSectionReader(r, 0, size)) })
	return c, nil
}

// checkSums reads the members once and compares them with the checksums (CRC-32) of the archive, so that a damaged one is
// refused before anything rests on it. Rows are read later by their place, or up to the last that is asked for, where
// nobody would see the whole member. The pass takes little beside what follows: stored members are summed faster than their
// rows are converted or hashed, deflated ones are inflated side by side, and again for every layer and length of a run.
func checkSums(files []*zip.File, members map[string]member) error {
	errs := make([]error, len(files))
	next := make(chan int)
	var wait sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wait.Go(func() {
			buf := make([]byte, chunk)
			for i := range next {
				errs[i] = checkSum(files[i], buf)
			}
		})
	}
	for i, f := range files {
		if _, ok := members[f.Name]; ok {
			next <- i
		}
	}
	close(next)
	wait.Wait()
	for i, err := range errs {
		if err != nil {
			return within("member", files[i].Name, err)
		}
	}
	return nil
}

// checkSum reads a member to its end, where archive/zip compares its checksum.
func checkSum(f *zip.File, buf []byte) error {
	r, err := f.Open()
	if err != nil {
		return err
	}
	defer r.Close()
	_, err = io.CopyBuffer(struct{ io.Writer }{io.Discard}, r, buf) // Discard alone would bring its own small buffer
	var disk *fs.PathError
	switch {
	case err == nil, errors.As(err, &disk):
		return cause(err)
	case errors.Is(err, zip.ErrChecksum):
		return errors.New("other bytes than those of its checksum (CRC-32): the archive is damaged, want it written or copied again")
	}
	return fmt.Errorf("%w: the archive is damaged, want bytes that give its checksum (CRC-32)", err)
}

// memberOf opens what is stored as it is as a part of the archive, so that it can be read from anywhere.
func memberOf(f *zip.File, r io.ReaderAt) member {
	size := int64(f.UncompressedSize64)
	if f.Method != zip.Store {
		return member{size, f.Open}
	}
	return member{size, func() (io.ReadCloser, error) {
		at, err := f.DataOffset()
		if err != nil {
			return nil, err
		}
		return section(r, at, size)()
	}}
}

// checkMember refuses sizes that the archive cannot hold, so that they bound the memory taken later.
func checkMember(f *zip.File, size int64) error {
	compressed, whole := f.CompressedSize64, f.UncompressedSize64
	switch {
	case compressed > uint64(size):
		return fmt.Errorf("%d bytes, but the archive has %d", compressed, size)
	case f.Method == zip.Store && whole != compressed:
		return fmt.Errorf("%d bytes stored as %d", whole, compressed)
	case f.Method == zip.Deflate && whole/maxDeflate > compressed:
		return fmt.Errorf("%d bytes deflated to %d, want at most %d times less", whole, compressed, maxDeflate)
	case f.Method != zip.Store && f.Method != zip.Deflate:
		return fmt.Errorf("compression method %d, want stored or deflated", f.Method)
	}
	return nil
}

// wantArrays says what a folder or archive without a trace lacks.
func wantArrays(members map[string]member) error {
	for file := range members {
		if isRows(strings.TrimSuffix(file, npyExt)) {
			return nil
		}
	}
	return errors.New("holds no trace, want layers.N.q.npy, layers.N.k.npy and layers.N.v.npy of each layer")
}

// openFolder reads a folder of npy files. Each is opened when it is read. The hash of the folder is that
// of the lines "HASH  FILE" that sha256sum prints for its npy files and metadata.json, sorted by name.
func openFolder(folder, name string) (*container, error) {
	list, err := os.ReadDir(folder)
	if err != nil {
		return nil, cause(err)
	}
	members := map[string]member{}
	var files []string
	for _, e := range list {
		if e.Name() != metadataFile && filepath.Ext(e.Name()) != npyExt {
			continue
		}
		path := filepath.Join(folder, e.Name())
		info, err := os.Stat(path)
		if err != nil {
			return nil, within("file", e.Name(), cause(err))
		}
		if !info.Mode().IsRegular() {
			return nil, fmt.Errorf("file %s: not a regular file", printable(e.Name()))
		}
		members[e.Name()] = member{info.Size(), func() (io.ReadCloser, error) { return os.Open(path) }}
		files = append(files, e.Name())
	}
	if err := wantArrays(members); err != nil {
		return nil, fmt.Errorf("%w%s", err, modelHint(folder))
	}
	c, err := openNPY(members, name)
	if err != nil {
		return nil, err
	}
	c.release = func() error { return nil }
	c.sum = sync.OnceValues(func() (string, error) {
		var lines strings.Builder
		slices.Sort(files)
		for _, file := range files {
			sum, err := hashMember(members[file])
			if err != nil {
				return "", within("file", file, cause(err))
			}
			fmt.Fprintf(&lines, "%s  %s\n", sum, file)
		}
		return sha256Of(strings.NewReader(lines.String()))
	})
	return c, nil
}

func hashMember(m member) (string, error) {
	r, err := m.open()
	if err != nil {
		return "", err
	}
	defer r.Close()
	return sha256Of(r)
}
