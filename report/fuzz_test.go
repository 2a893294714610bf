package report

import (
	"bytes"
	"encoding/json"
	"math"
	"strings"
	"testing"

	"kvgauge/sim/record"
)

// jsonl are records as a run writes them.
func jsonl(t testing.TB, records []record.Record) []byte {
	t.Helper()
	var b bytes.Buffer
	for _, r := range records {
		line, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		b.Write(append(line, '\n'))
	}
	return b.Bytes()
}

// FuzzRead takes any bytes: what it accepts can be reported, drawn and read again.
func FuzzRead(f *testing.F) {
	good := jsonl(f, goldenRecords()[:4])
	f.Add(good)
	f.Add(good[:len(good)-7])
	f.Add([]byte(`{"schema":1,"status":"ok","trace":"t","pipeline":"p","family":"bound","seq_len":1,"cache_bytes":0,"cache_bytes_full":0,"error":{"rel_l2":0}}`))
	f.Add([]byte(`{"schema":1,"status":"skipped","trace":"t","pipeline":"p|q","family":"a+b","seq_len":9,"latency":{"median_ns":1,"lo_ns":0,"hi_ns":2,"ratio_to_full":0,"threads":1}}` + "\n"))
	f.Add([]byte("{}\n\n"))
	f.Add(jsonl(f, crowdRecords(together+1, 1)))
	f.Fuzz(func(t *testing.T, data []byte) {
		records, err := record.Read(bytes.NewReader(data))
		if err != nil {
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("more than one line: %q", err)
			}
			return
		}
		for _, format := range Formats() {
			write(t, records, Options{Format: format, Width: 80})
		}
		again, err := record.Read(bytes.NewReader(jsonl(t, records)))
		if err != nil || len(again) != len(records) {
			t.Fatalf("%d records become %d: %v", len(records), len(again), err)
		}
		if _, err := Plots(records, "svg"); err != nil {
			t.Error(err)
		}
		for _, p := range pictures {
			f := p.figure(records)
			for _, c := range f.bars {
				if len(c.bars) == 0 || !(c.top() > 0 && c.top() <= zeroError) {
					t.Errorf("%s: %d bars up to %v", p.name, len(c.bars), c.top())
				}
				linearTicks(0, 100*c.top())
			}
			for _, panel := range f.panels {
				for _, a := range []axis{panel.x, panel.y} {
					if !(a.low > 0 && a.low < a.high && a.high <= math.MaxFloat64) { // gonum panics on these
						t.Errorf("%s: axis from %v to %v", p.name, a.low, a.high)
					}
					a.ticks.Ticks(a.low, a.high)
				}
			}
		}
	})
}
