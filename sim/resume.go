package sim

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
)

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

// Resume lets Run begin after the cells whose records there are. It refuses records that are not those
// of the plan's first cells.
func (p *Plan) Resume(done []Record) error {
	if len(done) > len(p.Cells) {
		return fmt.Errorf("%d records, the run has %d cells", len(done), len(p.Cells))
	}
	for i, r := range done {
		want, err := p.blank(p.Cells[i])
		if err != nil {
			return err
		}
		if KeyOf(r) != KeyOf(want) {
			return fmt.Errorf("record %d is that of %s, want %s", i+1, CellName(r), CellName(want))
		}
	}
	p.Done = len(done)
	return nil
}
