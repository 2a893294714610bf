package trace

import (
	"encoding/binary"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/x448/float16"
)

// Every bit pattern of F16 and BF16 decodes exactly, and is found where it is not finite.
func TestDecodeAll(t *testing.T) {
	var src [2]byte
	var dst [1]float32
	for u := range 1 << 16 {
		binary.LittleEndian.PutUint16(src[:], uint16(u))
		for dtype, want := range map[string]float32{
			"F16":  float16.Frombits(uint16(u)).Float32(),
			"BF16": math.Float32frombits(uint32(u) << 16),
		} {
			bad := toFloat32(dst[:], src[:], dtype)
			if (bad == 0) != !finite(want) {
				t.Fatalf("%s %#04x: found %d, value %v", dtype, u, bad, want)
			}
			if finite(want) && math.Float32bits(dst[0]) != math.Float32bits(want) {
				t.Fatalf("%s %#04x: %v, want %v", dtype, u, dst[0], want)
			}
		}
	}
}

func finite(f float32) bool { return f-f == 0 }

// The rounding of F16 is that of the oracle; that of BF16 is to the nearer neighbour, to the even one
// at a tie.
func TestEncodeRounds(t *testing.T) {
	values := []float32{0, float32(math.Copysign(0, -1)), 1, 65504, 65519.996, 65520, 0x1p-24, 0x1p-25, 0x1.8p-25, 0x1p-14, 1e-40, 1e-45, math.MaxFloat32}
	rng := rand.New(rand.NewPCG(1, 2))
	for range 200_000 {
		u := rng.Uint32()
		values = append(values, math.Float32frombits(u), math.Float32frombits(u&0xffff8000), math.Float32frombits(0x3f000000|u&0x807fffff&^0xfff))
	}
	var dst [2]byte
	for _, f := range values {
		if !finite(f) {
			continue
		}
		bad := fromFloat32(dst[:], []float32{f}, "F16")
		got, want := binary.LittleEndian.Uint16(dst[:]), float16.Fromfloat32(f).Bits()
		if got != want || (bad == 0) != float16.Frombits(want).IsInf(0) {
			t.Fatalf("F16 of %v: %#04x, want %#04x; found %d", f, got, want, bad)
		}
		bad = fromFloat32(dst[:], []float32{f}, "BF16")
		got = binary.LittleEndian.Uint16(dst[:])
		if want := nearestBrain(f); got != want || (bad == 0) != (want&0x7fff == 0x7f80) {
			t.Fatalf("BF16 of %v: %#04x, want %#04x; found %d", f, got, want, bad)
		}
	}
}

// nearestBrain compares the distances to the two neighbours, in float64 where both are exact.
func nearestBrain(f float32) uint16 {
	low := uint16(math.Float32bits(f) >> 16) // towards zero
	at := func(u uint16) float64 {
		if u&0x7fff == 0x7f80 { // the step beyond the largest value, where infinity begins
			return math.Copysign(0x1p128, float64(f))
		}
		return float64(math.Float32frombits(uint32(u) << 16))
	}
	down, up := math.Abs(float64(f)-at(low)), math.Abs(at(low+1)-float64(f))
	if up < down || up == down && low&1 == 1 {
		return low + 1
	}
	return low
}

func TestEncodeFindsNaN(t *testing.T) {
	for dtype := range rowBytes {
		dst := make([]byte, 12)
		for _, f := range []float32{float32(math.NaN()), math.Float32frombits(0x7f800001), math.Float32frombits(0xffffffff), float32(math.Inf(-1))} {
			if bad := fromFloat32(dst, []float32{1, f, f}, dtype); bad != 1 {
				t.Errorf("%s: %v found at %d, want 1", dtype, f, bad)
			}
		}
	}
}
