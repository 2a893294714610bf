package report

import (
	"testing"

	"kvgauge/sim/record"
)

func TestUnits(t *testing.T) {
	for _, c := range []struct{ got, want string }{
		{byteText(0), "0 B"},
		{byteText(1023), "1023 B"},
		{byteText(1 << 20), "1.0 MiB"},
		{byteText(147456), "144 KiB"},
		{timeText(0), "0 ns"},
		{timeText(999), "999 ns"},
		{timeText(999.9), "1.00 µs"},
		{timeText(81234), "81.2 µs"},
		{timeText(2.5e6), "2.50 ms"},
		{timeText(3e9), "3.00 s"},
		{percentText(0), "0 %"},
		{percentText(1e-9), "<0.001 %"},
		{percentText(0.000123), "0.012 %"},
		{percentText(0.1234), "12.3 %"},
		{percentText(0.9996), "100 %"},
		{percentText(1.26), "126 %"},
		{percentText(1e300), "1e+302 %"},
		{ratioText(0.5249), "0.525x"},
		{ratioText(0.9999), "1.00x"},
		{ratioText(12.34), "12.3x"},
		{lengthText(1024), "1k"},
		{lengthText(131072), "128k"},
		{lengthText(1000), "1000"},
		{tickText("20.0 µs"), "20 µs"},
		{tickText("100 %"), "100 %"},
		{tickText("1.50 ms"), "1.5 ms"},
		{record.LayerList([]int{0, 1, 2, 8}), "0..2,8"},
		{oneLine("a\nb\x1bc"), "a b c"},
	} {
		if c.got != c.want {
			t.Errorf("got %q, want %q", c.got, c.want)
		}
	}
}
