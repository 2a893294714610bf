package report

import (
	"fmt"
	"io"
	"strings"

	"kvgauge/sim/record"
)

// Options say how a report is written.
type Options struct {
	Format string // one of Formats
	Color  bool   // the table may use ANSI escapes
	Width  int    // columns of the terminal, which the table fits; 0 is no limit
	View          // what the table shows
}

// formats are the output formats in the order of help texts; the first is the default.
var formats = []struct {
	name  string
	write func(io.Writer, []record.Record, Options) error
}{
	{"table", toldApart(writeTable)},
	{"markdown", toldApart(writeMarkdown)},
	{"csv", writeCSV},
	{"json", writeJSON},
	{"benchfmt", writeBenchfmt},
}

// toldApart writes records whose traces have names of their own.
func toldApart(write func(io.Writer, []record.Record, Options) error) func(io.Writer, []record.Record, Options) error {
	return func(w io.Writer, records []record.Record, o Options) error { return write(w, apart(records), o) }
}

// Formats returns the names of the output formats.
func Formats() []string {
	var names []string
	for _, f := range formats {
		names = append(names, f.name)
	}
	return names
}

// Write writes records in a format.
func Write(w io.Writer, records []record.Record, o Options) error {
	for _, f := range formats {
		if f.name == o.Format {
			return f.write(w, records, o)
		}
	}
	return fmt.Errorf("format %q: want one of %s", o.Format, strings.Join(Formats(), ", "))
}
