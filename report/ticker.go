package report

import (
	"math"
	"math/bits"
	"slices"
	"strconv"
	"strings"

	"gonum.org/v1/plot"
)

// lengthTicks marks the lengths that were measured; labels that would touch are left out.
type lengthTicks []int // ascending

// Ticks implements plot.Ticker.
func (ts lengthTicks) Ticks(low, high float64) []plot.Tick {
	const apart = 0.09 // share of the axis that a label takes
	var ticks []plot.Tick
	next := math.Inf(1) // labels are placed from the right: the longest length matters most
	for _, n := range slices.Backward(ts) {
		if float64(n) < low || float64(n) > high {
			continue
		}
		t := plot.Tick{Value: float64(n)}
		if at := math.Log(t.Value/low) / math.Log(high/low); at <= next {
			t.Label = lengthText(n)
			next = at - apart
		}
		ticks = append(ticks, t)
	}
	slices.Reverse(ticks)
	return ticks
}

// byteTicks marks powers of two, so many apart that at most eight have a label.
type byteTicks struct{}

// Ticks implements plot.Ticker.
func (byteTicks) Ticks(low, high float64) []plot.Tick {
	first, last := int(math.Ceil(math.Log2(low))), int(math.Floor(math.Log2(high)))
	stride := 1
	for (last-first)/stride >= 8 {
		stride++
	}
	var ticks []plot.Tick
	for e := first; e <= last; e++ {
		t := plot.Tick{Value: math.Exp2(float64(e))}
		if (e-last)%stride == 0 {
			t.Label = tickText(byteText(t.Value))
		}
		ticks = append(ticks, t)
	}
	return ticks
}

// decadeTicks marks 1 to 9 of each decade and labels 1, 2 and 5, or of a long axis 1 alone, at most 8.
type decadeTicks struct {
	text  func(float64) string
	floor float64 // values down here are drawn at it; 0 where none are
}

// Ticks implements plot.Ticker.
func (d decadeTicks) Ticks(low, high float64) []plot.Tick {
	decades := math.Log10(high) - math.Log10(low)
	long, stride := decades > 2.3, math.Ceil(decades/8)
	var ticks []plot.Tick
	for e := math.Floor(math.Log10(low)); math.Pow(10, e) <= high; e++ {
		for m := 1.0; m <= 9; m++ {
			v := m * math.Pow(10, e)
			if v < max(low, d.floor)*(1-1e-9) || v > high*(1+1e-9) {
				continue
			}
			t := plot.Tick{Value: v}
			if m == 1 && math.Mod(e, stride) == 0 || !long && (m == 2 || m == 5) {
				t.Label = tickText(d.text(v))
			}
			if d.floor > 0 && v <= d.floor*(1+1e-9) {
				t.Label = "≤ " + t.Label
			}
			ticks = append(ticks, t)
		}
	}
	return ticks
}

// linearTicks labels about five round values of a linear axis from low to high.
func linearTicks(low, high float64) plot.ConstantTicks {
	step := math.Pow(10, math.Floor(math.Log10((high-low)/4)))
	for _, m := range []float64{5, 2} {
		if (high-low)/(m*step) >= 4 {
			step *= m
			break
		}
	}
	var ticks plot.ConstantTicks
	for i := int(math.Ceil(low/step - 1e-9)); float64(i)*step <= high+1e-9*step; i++ {
		v := float64(i) * step
		ticks = append(ticks, plot.Tick{Value: v, Label: strconv.FormatFloat(v, 'g', 6, 64)})
	}
	return ticks
}

// powerTicks marks powers of two up to high, at their logarithms to base 2, and labels at most ten.
func powerTicks(high int) plot.ConstantTicks {
	var ticks plot.ConstantTicks
	stride := 1 + (bits.Len(uint(high))-1)/10
	for e := 0; 1<<e <= high; e++ {
		t := plot.Tick{Value: float64(e)}
		if e%stride == 0 {
			t.Label = lengthText(1 << e)
		}
		ticks = append(ticks, t)
	}
	return ticks
}

// decadeMarks labels the shares 10^low, ..., 1 at their logarithms to base 10.
func decadeMarks(low int) plot.ConstantTicks {
	var ticks plot.ConstantTicks
	for e := low; e <= 0; e++ {
		ticks = append(ticks, plot.Tick{Value: float64(e), Label: tickText(percentText(math.Pow(10, float64(e))))})
	}
	return ticks
}

// tickText drops the zeros that a rounded number ends with: 20.0 µs becomes 20 µs.
func tickText(text string) string {
	end := strings.LastIndexAny(text, "0123456789") + 1
	number, unit := text[:end], text[end:]
	if strings.Contains(number, ".") {
		number = strings.TrimRight(strings.TrimRight(number, "0"), ".")
	}
	return number + unit
}

// logRange is the range of a logarithmic axis around positive values: at least a factor of 4, and a
// margin of 7 % on each side, so that markers stay inside.
func logRange(values []float64) (low, high float64) {
	low, high = math.Inf(1), 0
	for _, v := range values {
		low, high = min(low, v), max(high, v)
	}
	if high/low < 4 {
		middle := math.Sqrt(low * high)
		low, high = middle/2, middle*2
	}
	margin := math.Pow(high/low, 0.07)
	return low / margin, min(high*margin, math.MaxFloat64)
}
