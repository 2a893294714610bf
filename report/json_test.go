package report

import (
	"encoding/json"
	"math"
	"reflect"
	"strings"
	"testing"

	"kvgauge/sim/record"
)

// TestJSON gives the records back unchanged, a record a line.
func TestJSON(t *testing.T) {
	for _, records := range [][]record.Record{{}, goldenRecords()} {
		out := write(t, records, Options{Format: "json"})
		got := []record.Record{}
		if err := json.Unmarshal(out, &got); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, records) {
			t.Errorf("records changed")
		}
		if n := strings.Count(string(out), "\n"); n != len(records)+2 {
			t.Errorf("%d lines for %d records", n, len(records))
		}
	}
}

// TestJSONInfinity names the record that cannot be written.
func TestJSONInfinity(t *testing.T) {
	r := measured("a", "eviction", 1, math.Inf(1))
	err := Write(&strings.Builder{}, []record.Record{r}, Options{Format: "json"})
	if err == nil || !strings.Contains(err.Error(), "record of a on t at 64 tokens") {
		t.Errorf("error %v", err)
	}
}
