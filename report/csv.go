package report

import (
	"encoding/csv"
	"io"
	"strings"

	"kvgauge/sim/record"
)

// writeCSV writes one row a record: raw numbers, null as an empty field, lists joined by a slash, of warnings the
// codes. Columns are the fields of a record in its order, nested names joined by an underscore; kept positions, lists
// of lists, are left to JSON.
func writeCSV(w io.Writer, records []record.Record, _ Options) error {
	c := csv.NewWriter(w)
	row := make([]string, len(record.Figures))
	for i, f := range record.Figures {
		row[i] = strings.ReplaceAll(f.Name, ".", "_")
	}
	if err := c.Write(row); err != nil {
		return err
	}
	for _, r := range records {
		for i, f := range record.Figures {
			row[i] = f.Text(r)
		}
		if err := c.Write(row); err != nil {
			return err
		}
	}
	c.Flush()
	return c.Error()
}
