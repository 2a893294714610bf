package report

import (
	"math"
	"strconv"
	"strings"

	"github.com/dustin/go-humanize"

	"kvgauge/sim/record"
)

// unitText is how a unit's figures are written.
func unitText(u record.Unit) func(float64) string {
	switch u {
	case record.Byte:
		return byteText
	case record.Share:
		return percentText
	case record.Ratio:
		return ratioText
	case record.Nanosecond:
		return timeText
	}
	return func(v float64) string { return digits(v, 3) }
}

// byteText writes a number of bytes with an IEC unit: 1.5 MiB.
func byteText(n float64) string {
	return humanize.IBytes(uint64(max(0, n)))
}

// timeText writes nanoseconds with an SI unit and 3 significant digits: 812 µs.
func timeText(ns float64) string {
	for _, u := range []struct {
		name string
		ns   float64
	}{{"s", 1e9}, {"ms", 1e6}, {"µs", 1e3}} {
		if ns >= 0.9995*u.ns {
			return digits(ns/u.ns, 3) + " " + u.name
		}
	}
	return digits(ns, 3) + " ns"
}

// percentText writes a share with 3 significant digits, and no more than 3 places: 12.3 %.
func percentText(share float64) string {
	p := 100 * share
	if p > 0 && p < 0.0005 {
		return "<0.001 %"
	}
	return digits(p, 3) + " %"
}

// ratioText writes a ratio: 0.52x.
func ratioText(r float64) string { return digits(r, 3) + "x" }

// digits writes v rounded to n significant digits, with at most 3 places and, below a million, no
// exponent.
func digits(v float64, n int) string {
	if v == 0 {
		return "0"
	}
	if math.Abs(v) >= 1e6 {
		return strconv.FormatFloat(v, 'g', n, 64)
	}
	rounded, _ := strconv.ParseFloat(strconv.FormatFloat(v, 'e', n-1, 64), 64)
	places := n - 1 - int(math.Floor(math.Log10(math.Abs(rounded))))
	return strconv.FormatFloat(v, 'f', min(max(0, places), 3), 64)
}

// lengthText writes a number of tokens; multiples of 1024 are short: 4k.
func lengthText(n int) string {
	if n >= 1024 && n%1024 == 0 {
		return strconv.Itoa(n/1024) + "k"
	}
	return strconv.Itoa(n)
}

// oneLine replaces control characters, line breaks among them, by spaces: names and reasons come from
// files.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 {
			return ' '
		}
		return r
	}, s)
}
