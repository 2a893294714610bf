package report

import (
	"bufio"
	"fmt"
	"io"
	"strings"
	"unicode"

	"kvgauge/sim/record"
)

// benchUnits is the metadata that benchstat judges by: all but the latency is exactly repeatable.
const benchUnits = `Unit cache-bytes better=lower assume=exact
Unit peak-bytes better=lower assume=exact
Unit traffic-bytes better=lower assume=exact
Unit rel-l2 better=lower assume=exact
Unit step-ns better=lower
`

// writeBenchfmt writes records in the Go benchmark format (golang.org/design/14313-benchmark-format), a
// line a latency sample so that benchstat can test differences. Skipped and failed cells have no line.
// What cells join on is in the names and the configuration lines, across which benchstat does not compare: a trace of
// the same name with other content never meets this one. The version is in neither, or versions could not be compared.
func writeBenchfmt(w io.Writer, records []record.Record, _ Options) error {
	b := bufio.NewWriter(w)
	fmt.Fprint(b, benchUnits)
	config := map[string]string{}
	for _, r := range records {
		if r.Status != record.OK {
			continue
		}
		benchConfig(b, config, "model", oneLine(r.Model))
		benchConfig(b, config, "trace-sha256", oneLine(r.TraceSHA256))
		benchConfig(b, config, "layers", record.LayerList(r.Layers))
		benchConfig(b, config, "windows", fmt.Sprint(r.Windows))
		benchConfig(b, config, "seed", fmt.Sprint(r.Seed))
		if l := r.Latency; l != nil {
			benchConfig(b, config, "kernel", oneLine(l.Kernel))
			benchConfig(b, config, "threads", fmt.Sprint(l.Threads))
		}
		// The length stands last: a number after a dash at the end of a name would be read as GOMAXPROCS.
		name := fmt.Sprintf("BenchmarkKV/trace=%s/pipeline=%s/decode=%d/len=%d", benchName(r.Trace), benchName(r.Pipeline), r.Decode, r.SeqLen)
		fixed := ""
		for _, v := range []struct {
			unit  string
			value *int64
		}{{"cache-bytes", r.CacheBytes}, {"peak-bytes", r.PeakBytes}, {"traffic-bytes", r.TrafficBytes}} {
			if v.value != nil {
				fixed += fmt.Sprintf(" %d %s", *v.value, v.unit)
			}
		}
		if r.Error != nil {
			fixed += " " + record.FigureOf("error.rel_l2").Text(r) + " rel-l2"
		}
		if r.Latency == nil || len(r.Latency.StepNS) == 0 {
			if fixed != "" {
				fmt.Fprintf(b, "%s 1%s\n", name, fixed)
			}
			continue
		}
		for _, ns := range r.Latency.StepNS {
			fmt.Fprintf(b, "%s 1%s %d step-ns\n", name, fixed, ns)
		}
	}
	return b.Flush()
}

// benchConfig writes a configuration line where the value differs from the one that holds.
func benchConfig(w io.Writer, config map[string]string, key, value string) {
	if have, ok := config[key]; ok && have == value {
		return
	}
	config[key] = value
	fmt.Fprintf(w, "%s: %s\n", key, value)
}

// benchName makes a name part of a benchmark's name, where a space ends it and a slash starts the next key.
func benchName(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '/' || unicode.IsSpace(r) || unicode.IsControl(r) {
			return '_'
		}
		return r
	}, s)
}
