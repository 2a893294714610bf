package report

import (
	"bytes"
	"encoding/csv"
	"strings"
	"testing"

	"kvgauge/sim/record"
)

// TestCSVNull leaves what was not measured empty, and quotes what needs it.
func TestCSVNull(t *testing.T) {
	r := record.Record{Schema: 1, Status: record.Skipped, Reason: "a, \"b\"\nc", Layers: []int{0, 5}}
	rows, err := csv.NewReader(bytes.NewReader(write(t, []record.Record{r}, Options{Format: "csv"}))).ReadAll()
	if err != nil || len(rows) != 2 {
		t.Fatalf("%d rows, %v", len(rows), err)
	}
	for i, name := range rows[0] {
		switch got := rows[1][i]; {
		case name == "reason" && got != r.Reason, name == "layers" && got != "0/5":
			t.Errorf("%s: %q", name, got)
		case strings.HasPrefix(name, "error_") || strings.HasPrefix(name, "latency_") || strings.HasSuffix(name, "_bytes"):
			if got != "" {
				t.Errorf("%s: %q, want empty", name, got)
			}
		}
	}
}
