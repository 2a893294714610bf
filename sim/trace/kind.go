package trace

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"io"
	"strings"
	"unicode"
	"unicode/utf8"
)

// What the refusals of this package call the kinds that it looks into.
const (
	kindZip         = "a zip archive"
	kindNPZ         = "an npz archive whose name does not end in .npz"
	kindSafetensors = "a safetensors file"
	kindTorch       = "a PyTorch file of torch.save, not of safetensors.torch.save_file"
)

// magics are the bytes that files of other kinds begin with.
var magics = []struct{ bytes, kind string }{
	{"PK\x03\x04", kindZip},
	{"PK\x05\x06", kindZip}, // an empty one
	{"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19", kindTorch}, // before PyTorch 1.6
	{"\x80\x02", "a pickle"},
	{"\x80\x03", "a pickle"},
	{"\x80\x04", "a pickle"},
	{"\x80\x05", "a pickle"},
	{"GGUF", "a GGUF file"},
	{"\x93NUMPY", "a NumPy array"},
	{"\x89HDF\r\n\x1a\n", "an HDF5 file"},
	{"\x89PNG\r\n\x1a\n", "a PNG picture"},
	{"\xff\xd8\xff", "a JPEG picture"},
	{"\x1f\x8b\x08", "a gzip file"},
	{"BZh", "a bzip2 file"},
	{"\xfd7zXZ\x00", "an xz file"},
	{"\x28\xb5\x2f\xfd", "a Zstandard file"},
	{"7z\xbc\xaf\x27\x1c", "a 7z archive"},
	{"PAR1", "a Parquet file"},
	{"ARROW1", "an Arrow file"},
	{"SQLite format 3\x00", "an SQLite database"},
	{"MATLAB 5.0", "a MATLAB file"},
	{"%PDF-", "a PDF document"},
	{"\x7fELF", "an ELF program"},
}

// kindHead is how many first bytes tell a kind: a tar archive has its magic after 257.
const kindHead = 512

// kindOf says what a file is, "" where its first bytes do not tell. A safetensors file has no magic: where its 8 bytes of
// length are those of another kind by chance, the brace after them tells.
func kindOf(r io.ReaderAt, size int64) string {
	head := make([]byte, min(kindHead, size))
	if _, err := r.ReadAt(head, 0); err != nil && err != io.EOF {
		return ""
	}
	if len(head) > 8 && head[8] == '{' && binary.LittleEndian.Uint64(head) <= maxHeader {
		return kindSafetensors
	}
	kind := kindOfHead(head)
	if kind != kindZip {
		return kind
	}
	if z, err := zip.NewReader(r, size); err == nil {
		return kindOfZip(z)
	}
	return kind
}

// kindOfHead is kindOf without a look further than the first bytes.
func kindOfHead(head []byte) string {
	for _, m := range magics {
		if bytes.HasPrefix(head, []byte(m.bytes)) {
			return m.kind
		}
	}
	if len(head) == kindHead && string(head[257:262]) == "ustar" {
		return "a tar archive"
	}
	return kindOfText(head)
}

// kindOfZip looks for the members by which what is laid out in zip archives is known.
func kindOfZip(z *zip.Reader) string {
	kind := kindZip
	for _, f := range z.File {
		switch {
		case strings.HasSuffix(f.Name, "/data.pkl"):
			return kindTorch
		case strings.HasSuffix(f.Name, ".npy"):
			kind = kindNPZ
		}
	}
	return kind
}

// kindOfText tells texts apart; "" for bytes that are none.
func kindOfText(head []byte) string {
	text := string(bytes.TrimPrefix(head, []byte("\ufeff")))
	for i, c := range text {
		if c == utf8.RuneError && len(text)-i >= utf8.UTFMax { // a character that the end of head cuts is none
			return ""
		}
		if unicode.IsControl(c) && !unicode.IsSpace(c) {
			return ""
		}
	}
	text = strings.ToLower(strings.TrimSpace(text))
	switch {
	case text == "":
		return ""
	case text[0] == '{', text[0] == '[':
		return "a JSON text"
	case strings.HasPrefix(text, "<!doctype html"), strings.HasPrefix(text, "<html"):
		return "a web page"
	case strings.HasPrefix(text, "version https://git-lfs"):
		return "a Git LFS pointer (git lfs pull fetches the file)"
	}
	return "a text"
}
