package trace

import (
	"archive/zip"
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"strings"
	"testing"
)

// A file of another kind is named by what it is, not by the length of a header that its first bytes would be.
func TestKinds(t *testing.T) {
	var gz bytes.Buffer
	w := gzip.NewWriter(&gz)
	if _, err := w.Write([]byte("{}")); err != nil || w.Close() != nil {
		t.Fatal(err)
	}
	if binary.LittleEndian.Uint64(gz.Bytes()) > maxHeader {
		t.Fatal("this gzip file is none that could be taken for a header's length")
	}
	tar := make([]byte, 1024)
	copy(tar, "layers.0.q.npy")
	copy(tar[257:], "ustar\x0000")
	rest := strings.Repeat("\x00\x01", 300)
	tests := []struct{ name, file, want string }{
		{"zip", string(zipOf(map[string][]byte{"a.txt": nil}, zip.Store)), "a zip archive"},
		{"empty zip", string(zipOf(nil, zip.Store)), "a zip archive"},
		{"broken zip", "PK\x03\x04" + rest, "a zip archive"},
		{"npz", string(zipOf(map[string][]byte{"layers.0.q.npy": nil}, zip.Store)), "an npz archive whose name does not end in .npz"},
		{"torch", string(zipOf(map[string][]byte{"archive/data.pkl": nil}, zip.Store)), "a PyTorch file of torch.save, not of safetensors.torch.save_file"},
		{"pickle", "\x80\x04\x95\x0b\x00\x00\x00\x00\x00\x00\x00}.", "a pickle"},
		{"pickle of protocol 2", "\x80\x02}q\x00.   ", "a pickle"},
		{"GGUF", "GGUF\x03\x00\x00\x00" + rest, "a GGUF file"},
		{"npy", string(npyOf(floats(1))), "a NumPy array"},
		{"HDF5", "\x89HDF\r\n\x1a\n" + rest, "an HDF5 file"},
		{"PNG", "\x89PNG\r\n\x1a\n" + rest, "a PNG picture"},
		{"JPEG", "\xff\xd8\xff\xe0" + rest, "a JPEG picture"},
		{"gzip", gz.String(), "a gzip file"},
		{"Zstandard", "\x28\xb5\x2f\xfd" + rest, "a Zstandard file"},
		{"tar", string(tar), "a tar archive"},
		{"ELF", "\x7fELF\x02\x01\x01\x00" + rest, "an ELF program"},
		{"JSON", `{"format":"kvgauge-trace"}`, "a JSON text"},
		{"JSON lines", "\ufeff\n [1, 2]\n", "a JSON text"},
		{"web page", "<!DOCTYPE html>\n<html>", "a web page"},
		{"pointer", "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a", "a Git LFS pointer (git lfs pull fetches the file)"},
		{"text", strings.Repeat("résumé ", 200), "a text"},
		{"bytes", rest, ""},
		{"blank", strings.Repeat(" ", 20), ""},
	}
	for _, tt := range tests {
		if got := kindOf(strings.NewReader(tt.file), int64(len(tt.file))); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
		_, err := fromBytes([]byte(tt.file))
		if err == nil || tt.want != "" && err.Error() != tt.want+", want a safetensors file" {
			t.Errorf("%s: %v, want %s", tt.name, err, tt.want)
		}
		_, err = fromZip([]byte(tt.file))
		if err == nil || tt.want != "" && !strings.HasPrefix(tt.want, "an npz") && tt.name != "broken zip" && err.Error() != tt.want+", want an npz archive" {
			t.Errorf("%s as npz: %v, want %s", tt.name, err, tt.want)
		}
	}
}

// A safetensors file keeps its own errors, whatever its length looks like.
func TestKindSafetensors(t *testing.T) {
	meta, arrays := small("F32")
	file := safetensorsOf(meta, arrays)
	if _, err := fromZip(file); err == nil || err.Error() != "a safetensors file, want an npz archive" {
		t.Errorf("as npz: %v", err)
	}
	padded := `{"a":` + strings.Repeat(" ", 0x088b1f-6) + "1" // its length begins like a gzip file
	if _, err := fromBytes(withHeader(padded, nil)); err == nil || !strings.HasPrefix(err.Error(), "header: tensor a: byte") {
		t.Errorf("length like gzip: %v", err)
	}
}
