package report

import (
	"strings"
	"testing"

	"kvgauge/sim/record"
)

// atBytes is a record of an equal-bytes run of 250 of 1000 bytes.
func atBytes(pipeline, family string, err float64) record.Record {
	r := measured(pipeline, family, 250, err)
	target := int64(250)
	r.TargetBytes, r.Windows = &target, 1
	return r
}

// windowed is a record of several windows.
func windowed(pipeline string, errs ...float64) record.Record {
	mean, half := record.Interval(errs)
	r := measured(pipeline, "eviction", 250, mean)
	lo, hi := max(0, mean-half), mean+half
	r.Windows, r.Error.RelL2Windows, r.Error.RelL2Lo, r.Error.RelL2Hi = len(errs), errs, &lo, &hi
	return r
}

func TestStandings(t *testing.T) {
	for _, c := range []struct {
		name    string
		records []record.Record
		want    string // places of a, b, c ... in order; = before a tie, - for none
	}{
		{"one window", []record.Record{atBytes("a", "eviction", 0.3), atBytes("b", "latent", 0.1), atBytes("c", "sharing", 0.2)}, "3 1 2"},
		{"equal errors", []record.Record{atBytes("a", "eviction", 0.2), atBytes("b", "latent", 0.2), atBytes("c", "sharing", 0.3)}, "=1 =1 3"},
		{"bounds, full and skipped have none", []record.Record{
			atBytes("a", "bound", 0.1), atBytes("b", "eviction", 0.2), measured("c", "baseline", 1000, 0), {Pipeline: "d", Status: record.Skipped},
		}, "- 1 - -"},
		// Windows differ by more than the pipelines do, but b is always a little worse than a.
		{"paired differences", []record.Record{windowed("a", 0.1, 0.2, 0.3, 0.4), windowed("b", 0.111, 0.21, 0.309, 0.41), windowed("c", 0.3, 0.1, 0.4, 0.2)}, "=1 =2 =1"},
		{"a tie is no equality", []record.Record{windowed("a", 0.10, 0.11, 0.10, 0.11), windowed("b", 0.10, 0.115, 0.103, 0.112), windowed("c", 0.3, 0.3, 0.3, 0.31)}, "=1 =1 3"},
	} {
		t.Run(c.name, func(t *testing.T) {
			places := section{c.records}.standings()
			col := rankColumn(places)
			var got []string
			for _, r := range c.records {
				text := "-"
				if v := col.value(r); v != nil {
					text = col.text(r, *v)
				}
				got = append(got, text)
			}
			if text := strings.Join(got, " "); text != c.want {
				t.Errorf("got %s, want %s", text, c.want)
			}
		})
	}
}

// TestRankColumn stands in tables of equal bytes and of several windows, sorted by it.
func TestRankColumn(t *testing.T) {
	for _, c := range []struct {
		name    string
		records []record.Record
		ranked  bool
		order   string
		verdict string
	}{
		{"one window", []record.Record{measured("a", "eviction", 10, 0.2), measured("b", "eviction", 10, 0.1)}, false, "b a", "smallest cache"},
		{"windows", []record.Record{windowed("a", 0.3, 0.31), windowed("b", 0.1, 0.11)}, true, "b a", "smallest cache"},
		{
			"equal bytes",
			[]record.Record{atBytes("a", "bound", 0.01), atBytes("b", "eviction", 0.3), atBytes("c", "eviction", 0.125)},
			true, "c b a", "least error within 250 B: c (12.5 %)",
		},
		{"nothing smaller", []record.Record{atBytes("a", "bound", 0.01)}, true, "a", "no pipeline has a smaller cache than full"},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := layOut(section{c.records}, View{}, &notes{})
			if got := l.columns[0].name == "rank"; got != (c.ranked && c.name != "nothing smaller") {
				t.Errorf("rank column: %v", got)
			}
			if got := strings.Join(l.names, " "); got != c.order {
				t.Errorf("rows %s, want %s", got, c.order)
			}
			if !strings.HasPrefix(strings.Join(l.verdict, "; "), c.verdict) {
				t.Errorf("verdict %q, want %q", l.verdict, c.verdict)
			}
		})
	}
}

// TestErrorText shows the interval of several windows.
func TestErrorText(t *testing.T) {
	if got := errorText(windowed("a", 0.2, 0.2, 0.23), 0.21); got != "21.0 ±4.3 %" {
		t.Error(got)
	}
	if got := errorText(measured("a", "eviction", 1, 0.21), 0.21); got != "21.0 %" {
		t.Error(got)
	}
}
