package report

import (
	"strings"
	"testing"
)

// TestMarkdownEscapes keeps each row to its cells and shows names as they are.
func TestMarkdownEscapes(t *testing.T) {
	records := pick(goldenRecords(), "snapkv:budget=25%")[:1]
	records[0].Pipeline = "a|b*c_d`<e>"
	out := string(write(t, records, Options{Format: "markdown"}))
	if want := "| &gt; a\\|b\\*c\\_d\\`&lt;e&gt; "; !strings.Contains(out, want) {
		t.Errorf("no %q in\n%s", want, out)
	}
	bars := -1
	for line := range strings.Lines(out) {
		if !strings.HasPrefix(line, "|") {
			continue
		}
		n := strings.Count(line, "|") - strings.Count(line, `\|`)
		if bars >= 0 && n != bars {
			t.Errorf("%d bars, want %d: %s", n, bars, line)
		}
		bars = n
	}
}
