package report

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"

	"kvgauge/sim/record"
)

// writeJSON writes the records as one JSON array, a record a line, unchanged.
func writeJSON(w io.Writer, records []record.Record, _ Options) error {
	b := bufio.NewWriter(w)
	fmt.Fprint(b, "[")
	for i, r := range records {
		line, err := json.Marshal(r)
		if err != nil {
			return fmt.Errorf("record of %s on %s at %d tokens: %w", r.Pipeline, r.Trace, r.SeqLen, err)
		}
		if i > 0 {
			fmt.Fprint(b, ",")
		}
		fmt.Fprintf(b, "\n  %s", line)
	}
	fmt.Fprint(b, "\n]\n")
	return b.Flush()
}
