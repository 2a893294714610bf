package report

import (
	"strings"
	"testing"

	"gonum.org/v1/plot"
	"pgregory.net/rapid"
)

// labels are the labelled ticks.
func labels(t plot.Ticker, low, high float64) string {
	var ls []string
	for _, tick := range t.Ticks(low, high) {
		if tick.Label != "" {
			ls = append(ls, tick.Label)
		}
	}
	return strings.Join(ls, ", ")
}

func TestTicks(t *testing.T) {
	for _, c := range []struct {
		name      string
		ticker    plot.Ticker
		low, high float64
		want      string
	}{
		{"lengths", lengthTicks{128, 256, 512, 1024, 4096}, 100, 5000, "128, 256, 512, 1k, 4k"},
		{"lengths that would touch", lengthTicks{128, 957, 1000, 1024}, 100, 1200, "128, 1k"},
		{"lengths outside", lengthTicks{64, 128, 256}, 100, 200, "128"},
		{"bytes", byteTicks{}, 100 << 10, 5 << 20, "128 KiB, 256 KiB, 512 KiB, 1 MiB, 2 MiB, 4 MiB"},
		{"bytes over many powers", byteTicks{}, 1 << 10, 1 << 30, "4 KiB, 32 KiB, 256 KiB, 2 MiB, 16 MiB, 128 MiB, 1 GiB"},
		{"time", decadeTicks{text: timeText}, 8e3, 1.2e5, "10 µs, 20 µs, 50 µs, 100 µs"},
		{"a factor of four", decadeTicks{text: timeText}, 2.1e6, 8.4e6, "5 ms"},
		{"percent over decades", decadeTicks{text: percentText}, 0.0009, 1.5, "0.1 %, 1 %, 10 %, 100 %"},
		{"percent with a floor", decadeTicks{text: percentText, floor: 0.01}, 0.008, 1.2, "≤ 1 %, 2 %, 5 %, 10 %, 20 %, 50 %, 100 %"},
	} {
		if got := labels(c.ticker, c.low, c.high); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

// TestTicksProperties keeps ticks in range and labels few on any axis that logRange makes.
func TestTicksProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		values := rapid.SliceOfN(rapid.Float64Range(1e-4, 1e15), 1, 5).Draw(t, "values")
		low, high := logRange(values)
		for _, v := range values {
			if !(low > 0 && low < v && v < high) {
				t.Fatalf("%v outside %v to %v", v, low, high)
			}
		}
		for _, ticker := range []plot.Ticker{byteTicks{}, decadeTicks{text: timeText}, decadeTicks{text: percentText}} {
			n := 0
			for _, tick := range ticker.Ticks(low, high) {
				if tick.Value < low*0.999 || tick.Value > high*1.001 {
					t.Fatalf("%T: %v outside %v to %v", ticker, tick.Value, low, high)
				}
				if tick.Label != "" {
					n++
				}
			}
			if n < 1 || n > 9 {
				t.Fatalf("%T: %d labels from %v to %v", ticker, n, low, high)
			}
		}
	})
}
