package trace

import (
	"archive/zip"
	"bufio"
	"cmp"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"kvgauge/sim/record"
)

// npyHead is what stands before the elements of a tensor in an npy file of version 1.0: magic, version, length and a
// dictionary, together a multiple of 64 bytes (https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html).
func npyHead(dtype string, shape []int) ([]byte, error) {
	code := ""
	for c, d := range npyTypes {
		if d == dtype {
			code = "<" + c
		}
	}
	switch {
	case dtype == "BF16":
		code = "|V2" // as NumPy itself writes the bfloat16 of ml_dtypes
	case code == "":
		return nil, record.Input(fmt.Errorf("dtype %s, which NumPy does not have", printable(dtype)))
	case dtypeBits[dtype] == 8:
		code = "|" + code[1:]
	}
	var dims strings.Builder
	for _, n := range shape {
		fmt.Fprintf(&dims, "%d, ", n)
	}
	text := fmt.Sprintf("{'descr': '%s', 'fortran_order': False, 'shape': (%s), }", code, dims.String())
	for (10+len(text)+1)%64 != 0 {
		text += " "
	}
	head := append([]byte("\x93NUMPY\x01\x00"), binary.LittleEndian.AppendUint16(nil, uint16(len(text)+1))...)
	return append(head, text+"\n"...), nil
}

// npyMetadata is the content of metadata.json. The bytes of bfloat16 have no type in npy files: the metadata say it.
func npyMetadata(meta map[string]string, items []item) ([]byte, error) {
	of := map[string]string{}
	for field, text := range meta {
		if field != dtypeField { // in a safetensors file a field that nobody reads
			of[field] = text
		}
	}
	if slices.ContainsFunc(items, func(x item) bool { return x.dtype == "BF16" }) {
		of[dtypeField] = "bfloat16"
	}
	return json.MarshalIndent(of, "", " ")
}

// checkNPY refuses a tensor that a folder or archive of npy files would not give back.
func checkNPY(x item) error {
	switch {
	case len(x.shape) == 0, x.name == dtypeField, slices.Contains(traceFields, x.name), slices.Contains(layerFields, x.name):
		return record.Input(fmt.Errorf("tensor %s: among npy files it would be read as metadata, want a .safetensors file", printable(x.name)))
	case !filepath.IsLocal(x.name) || strings.ContainsAny(x.name, "/\\\x00"):
		return record.Input(fmt.Errorf("tensor %s: no name for a file, want a .safetensors file", printable(x.name)))
	}
	return nil
}

// writeArray writes the content of an npy file.
func writeArray(w io.Writer, x item) error {
	head, err := npyHead(x.dtype, x.shape)
	if err != nil {
		return within("tensor", x.name, err)
	}
	if _, err := w.Write(head); err != nil {
		return err
	}
	return x.write(w)
}

// writeNPZ writes an archive of npy files that are stored as they are, so that rows are read without what lies before them.
func writeNPZ(ctx context.Context, path string, meta map[string]string, items []item, progress func(done, total int) error) error {
	text, err := npyMetadata(meta, items)
	if err != nil {
		return err
	}
	return replaceFile(ctx, path, func(w io.Writer) error {
		z := zip.NewWriter(w)
		member, err := z.CreateHeader(&zip.FileHeader{Name: metadataFile, Method: zip.Store})
		if err != nil {
			return err
		}
		if _, err := member.Write(text); err != nil {
			return err
		}
		err = writeItems(items, progress, func(x item) error {
			if err := checkNPY(x); err != nil {
				return err
			}
			member, err := z.CreateHeader(&zip.FileHeader{Name: x.name + npyExt, Method: zip.Store})
			if err != nil {
				return err
			}
			return writeArray(member, x)
		})
		if err != nil {
			return err
		}
		return z.Close()
	})
}

// writeNPYs writes a folder of npy files, beside its place until it is whole.
func writeNPYs(ctx context.Context, path string, meta map[string]string, items []item, progress func(done, total int) error) (err error) {
	if _, err := os.Lstat(path); err == nil {
		return record.Input(errors.New("is there already, want the name of a new folder"))
	}
	text, err := npyMetadata(meta, items)
	if err != nil {
		return err
	}
	path = filepath.Clean(path)
	part := filepath.Join(filepath.Dir(path), fmt.Sprintf(".%s.%016x.part", filepath.Base(path), rand.Uint64()))
	if err := os.Mkdir(part, 0o777); err != nil {
		return cause(err)
	}
	defer func() {
		if err != nil {
			_ = os.RemoveAll(part)
			err = cause(cmp.Or(ctx.Err(), err)) // what failed may be without the files a cancellation took
		}
	}()
	defer context.AfterFunc(ctx, func() { _ = os.RemoveAll(part) })() // the process may end before this function does
	if err := os.WriteFile(filepath.Join(part, metadataFile), text, 0o666); err != nil {
		return err
	}
	err = writeItems(items, progress, func(x item) error {
		if err := checkNPY(x); err != nil {
			return err
		}
		return writeArrayFile(filepath.Join(part, x.name+npyExt), x)
	})
	if err != nil {
		return err
	}
	return os.Rename(part, path)
}

// writeArrayFile writes an npy file.
func writeArrayFile(path string, x item) error {
	f, err := os.Create(path)
	if err != nil {
		return cause(err)
	}
	w := bufio.NewWriterSize(f, chunk)
	err = writeArray(w, x)
	if err == nil {
		err = w.Flush()
	}
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}
