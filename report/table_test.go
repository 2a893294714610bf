package report

import (
	"math"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

var escape = regexp.MustCompile("\x1b\\[[0-9]*m")

// TestTableFits keeps tables within the terminal by leaving out columns, and says which.
func TestTableFits(t *testing.T) {
	for _, width := range []int{60, 80, 100, 120, 200} {
		out := string(write(t, goldenRecords(), Options{Format: "table", Width: width}))
		inTable := false
		for line := range strings.Lines(out) {
			line = strings.TrimSuffix(line, "\n")
			inTable = strings.HasPrefix(line, "pipeline ") || inTable && line != ""
			if n := utf8.RuneCountInString(line); inTable && n > width && width > 60 {
				t.Errorf("width %d: a line of %d: %s", width, n, line)
			}
			if strings.TrimRight(line, " ") != line {
				t.Errorf("width %d: spaces at the end of %q", width, line)
			}
		}
		if said := strings.Contains(out, "left out to fit"); said != (width < 150) {
			t.Errorf("width %d: left out said %v", width, said)
		}
		if header := out[strings.Index(out, "pipeline "):]; !strings.Contains(header[:strings.Index(header, "\n")], "rel_l2") {
			t.Errorf("width %d lost the error", width)
		}
	}
}

// TestTableColour changes nothing but the emphasis.
func TestTableColour(t *testing.T) {
	plain := string(write(t, goldenRecords(), Options{Format: "table"}))
	colour := string(write(t, goldenRecords(), Options{Format: "table", Color: true}))
	if strings.Contains(plain, "\x1b") {
		t.Error("escapes without colour")
	}
	if !strings.Contains(colour, bold) {
		t.Error("no emphasis with colour")
	}
	if got := escape.ReplaceAllString(colour, ""); got != plain {
		t.Errorf("colour changes the text:\n%s", got)
	}
}

// TestTableControlCharacters keeps names that come from files from steering the terminal.
func TestTableControlCharacters(t *testing.T) {
	records := goldenRecords()[:3]
	for i := range records {
		records[i].Trace, records[i].Model, records[i].Pipeline = "a\x1b[2Jb", "m\nn", "p\tq\u009b"
		records[i].Reason = "\r"
	}
	if out := string(write(t, records, Options{Format: "table"})); strings.ContainsAny(out, "\x1b\t\r\u009b") {
		t.Errorf("control characters: %q", out)
	}
}

func TestMarks(t *testing.T) {
	l := layOut(sections(goldenRecords())[0], View{}, &notes{})
	err := slices.IndexFunc(l.columns, func(c column) bool { return c.name == "rel_l2" })
	share := slices.IndexFunc(l.columns, func(c column) bool { return c.name == "of full" })
	for i, row := range l.rows {
		// Full, its equal and the bounds have less error, but do not compete.
		if want := strings.HasPrefix(l.names[i], "snapkv"); row[err].best != want {
			t.Errorf("%s: error marked %v", l.names[i], row[err].best)
		}
		if row[share].best {
			t.Errorf("%s: share of full marked", l.names[i])
		}
	}
}

// TestMarksEqual marks nothing where all are equal.
func TestMarksEqual(t *testing.T) {
	records := pick(goldenRecords(), "snapkv:budget=25%")[:1]
	for _, row := range layOut(section{append(records, records[0])}, View{}, &notes{}).rows {
		for _, c := range row {
			if c.best {
				t.Errorf("%s is marked beside its equal", c.text)
			}
		}
	}
}

// TestNoisyIsNotBest: a ratio that is hardly known has a footnote and no mark, and leaves the mark to the next.
func TestNoisyIsNotBest(t *testing.T) {
	records := goldenRecords()
	lowest := math.Inf(1)
	var at int
	for i, r := range records[:9] {
		if competes(r) && r.Latency.RatioToFull < lowest {
			lowest, at = r.Latency.RatioToFull, i
		}
	}
	marked := func() string {
		for line := range strings.Lines(string(write(t, records[:9], Options{Format: "table"}))) {
			if regexp.MustCompile(`x ±[0-9]+ %\*`).MatchString(line) {
				return strings.Fields(strings.TrimLeft(line, frontMark+" "))[0]
			}
		}
		return ""
	}
	if got := marked(); got != records[at].Pipeline {
		t.Fatalf("%s has the mark, want %s", got, records[at].Pipeline)
	}
	noisy := *records[at].Latency
	noisy.Noisy = true
	records[at].Latency = &noisy
	if got := marked(); got == "" || got == records[at].Pipeline {
		t.Errorf("%q has the mark, want one that is not noisy", got)
	}
	if out := string(write(t, records[:9], Options{Format: "table"})); !strings.Contains(out, noteNoisy) {
		t.Error("no footnote")
	}
}
