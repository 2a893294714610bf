package report

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"kvgauge/sim/record"
)

// TestGoldens holds every format to a file; the records are synthetic, so that latency may be in them.
func TestGoldens(t *testing.T) {
	for _, f := range Formats() {
		if f == "json" {
			continue // TestJSON: the records as they are
		}
		t.Run(f, func(t *testing.T) {
			golden(t, "records."+f, write(t, goldenRecords(), Options{Format: f, View: View{AllLengths: true}}))
		})
	}
}

func TestWriteUnknownFormat(t *testing.T) {
	err := Write(&bytes.Buffer{}, nil, Options{Format: "xml"})
	if err == nil || !strings.Contains(err.Error(), `"xml"`) || !strings.Contains(err.Error(), "benchfmt") {
		t.Errorf("error %v, want one that names xml and the formats", err)
	}
}

// noRoom is a writer on a full disk.
type noRoom struct{}

func (noRoom) Write([]byte) (int, error) { return 0, errors.New("no space left on device") }

// TestWriteErrors loses no error of the writer, in any format.
func TestWriteErrors(t *testing.T) {
	for _, f := range Formats() {
		if err := Write(noRoom{}, goldenRecords(), Options{Format: f}); err == nil {
			t.Errorf("%s: no error from a full disk", f)
		}
	}
}

// TestWriteWithoutMeasurements writes records that hold only their head.
func TestWriteWithoutMeasurements(t *testing.T) {
	bare := []record.Record{
		{Schema: 1, Status: record.Skipped, Reason: "a|b\nc", Trace: "t", Pipeline: "p", Family: "eviction", SeqLen: 8},
		{Schema: 1, Status: record.Failed, Reason: "NaN", Trace: "t", Pipeline: "q", Family: "eviction", SeqLen: 8},
	}
	for _, f := range Formats() {
		for _, records := range [][]record.Record{nil, bare} {
			write(t, records, Options{Format: f, Width: 40})
		}
	}
	table := string(write(t, bare, Options{Format: "table"}))
	for _, want := range []string{"q [1]", "p [2]", "[2] skipped: a|b c\n", "[1] failed: NaN\n"} {
		if !strings.Contains(table, want) {
			t.Errorf("table lacks %q:\n%s", want, table)
		}
	}
	if strings.Contains(table, "smallest cache") {
		t.Errorf("a verdict without errors:\n%s", table)
	}
}

func write(t *testing.T, records []record.Record, o Options) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := Write(&b, records, o); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}
