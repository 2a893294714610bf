package report

import (
	"fmt"
	"io"
	"strings"

	"github.com/jstemmer/go-junit-report/v2/junit"

	"kvgauge/sim/record"
)

// writeComparisonJUnit writes a test case a cell, in the XML that CI servers show. It keeps to the schema of Jenkins' xUnit
// plugin (junit-10.xsd), the strictest of theirs.
func writeComparisonJUnit(w io.Writer, c *Comparison) error {
	failures := map[record.Key][]string{}
	for _, ch := range c.Changes {
		if ch.Verdict == Regression {
			failures[ch.cell] = append(failures[ch.cell], ch.subject()+": "+ch.Text)
		}
	}
	suite := junit.Testsuite{Name: "kvgauge compare"}
	for _, p := range c.pairs {
		r := p.either()
		t := junit.Testcase{Name: xmlText(r.Pipeline), Classname: xmlText(fmt.Sprintf("%s.%d", c.traces[r.Key()], r.SeqLen))}
		lines := failures[r.Key()]
		switch {
		case len(lines) > 0:
			t.Failure = &junit.Result{Message: xmlText(lines[0]), Type: string(Regression), Data: xmlText(strings.Join(lines, "\n"))}
		case r.Status != record.OK:
			t.Skipped = &junit.Result{Message: xmlText(r.Reason)}
		}
		suite.AddTestcase(t)
	}
	var all junit.Testsuites
	all.AddSuite(suite)
	all.Skipped = 0 // the schema has no such attribute here; the suite has it
	return all.WriteXML(w)
}

// xmlText drops what XML cannot hold, escaped or not; the library checks nothing of it in character data.
func xmlText(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '\n' || r >= ' ' && r < 0x7f || r >= 0xa0 && r < 0xfffe || r > 0xffff {
			return r
		}
		return -1
	}, strings.ToValidUTF8(s, ""))
}
