package record

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// maxLine bounds a line of records.jsonl, in bytes. Kept positions make the longest: 32k positions of
// 256 heads are 50 MB.
const maxLine = 256 << 20

// ErrEmpty says that there are no records: of a run that was cut short in its first cell.
var ErrEmpty = errors.New("no record in it, want at least one line")

// Load reads the records of a run from its folder or from a records.jsonl file. The last line of a run
// that was killed may be torn; it is left out, but not where the folder says that the run is finished. Everything else that is
// not a whole record of this schema is an error that names the line and the field.
func Load(path string) ([]Record, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, Input(fmt.Errorf("%s: want a folder of a run or its %s: %w", path, RecordsFile, errors.Unwrap(err)))
	}
	cells := -1
	if info.IsDir() {
		if m, err := ReadManifest(path); err == nil && m.Finished != nil {
			cells = m.Cells
		}
		path = filepath.Join(path, RecordsFile)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, Input(fmt.Errorf("%s: want the records of a run: %w", path, errors.Unwrap(err)))
	}
	defer f.Close()
	records, err := Read(f)
	if err != nil {
		return nil, Input(fmt.Errorf("%s: %w", path, err))
	}
	if cells >= 0 && len(records) != cells {
		return nil, Input(fmt.Errorf("%s: %s, want the %s of the finished run: the file was cut or changed since", path, Count(len(records), "whole record", ""), Count(cells, "cell", "")))
	}
	return records, nil
}

// Read reads records, one a line, and checks each.
func Read(r io.Reader) ([]Record, error) {
	var records []Record
	b := bufio.NewReader(r)
	for n := 1; ; n++ {
		line, whole, err := readLine(b, maxLine)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		if !whole && len(line) == 0 {
			break
		}
		rec, err := parseRecord(line)
		if !whole && errors.Is(err, io.ErrUnexpectedEOF) {
			break // torn: the start of a record that was never ended
		}
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		records = append(records, rec)
	}
	if len(records) == 0 {
		return nil, ErrEmpty
	}
	return records, nil
}

// readLine reads up to a line feed and says whether there was one; a line may have limit bytes.
func readLine(b *bufio.Reader, limit int) (line []byte, whole bool, err error) {
	for {
		part, err := b.ReadSlice('\n')
		line = append(line, part...)
		switch {
		case len(line) > limit:
			return nil, false, fmt.Errorf("longer than %d bytes", limit)
		case err == nil:
			return line[:len(line)-1], true, nil
		case errors.Is(err, io.EOF):
			return line, false, nil
		case !errors.Is(err, bufio.ErrBufferFull):
			return nil, false, err
		}
	}
}

// parseRecord reads one record and checks what reports rely on. A record that ends too early is
// io.ErrUnexpectedEOF.
func parseRecord(line []byte) (Record, error) {
	var r Record
	// The schema comes first: a record of another one may have other fields and types.
	var head struct {
		Schema *int `json:"schema"`
		required
	}
	if err := json.Unmarshal(line, &head); err == nil && head.Schema != nil && *head.Schema != Schema {
		return r, fmt.Errorf("schema: %d, want %d", *head.Schema, Schema)
	}
	d := json.NewDecoder(bytes.NewReader(line))
	d.DisallowUnknownFields()
	if err := d.Decode(&r); err != nil {
		return r, jsonError(err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return r, errors.New("more than one JSON value, want one record a line")
	}
	if err := head.check(); err != nil {
		return r, err
	}
	return r, check(r)
}

// required are the figures without which an error or a latency says nothing. All others are null where they are absent.
type required struct {
	Error *struct {
		RelL2 *float64 `json:"rel_l2"`
	} `json:"error"`
	Latency *struct {
		MedianNS *int64   `json:"median_ns"`
		Ratio    *float64 `json:"ratio_to_full"`
		Threads  *int     `json:"threads"`
	} `json:"latency"`
}

// check says which of them is absent.
func (r required) check() error {
	const want = "absent, want a number, or %s null"
	switch e, l := r.Error, r.Latency; {
	case e != nil && e.RelL2 == nil:
		return fmt.Errorf("error.rel_l2: "+want, "error")
	case l != nil && l.MedianNS == nil:
		return fmt.Errorf("latency.median_ns: "+want, "latency")
	case l != nil && l.Ratio == nil:
		return fmt.Errorf("latency.ratio_to_full: "+want, "latency")
	case l != nil && l.Threads == nil:
		return fmt.Errorf("latency.threads: "+want, "latency")
	}
	return nil
}

// jsonError words an error of the decoder.
func jsonError(err error) error {
	var wrongType *json.UnmarshalTypeError
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("a record that does not end: %w", err)
	case errors.Is(err, io.EOF):
		return errors.New("empty, want a record")
	case errors.As(err, &wrongType):
		field := wrongType.Field
		if field == "" {
			field = "record"
		}
		return fmt.Errorf("%s: %s, want %s", field, wrongType.Value, kindText(wrongType.Type))
	}
	return fmt.Errorf("not a record: %w", err)
}
