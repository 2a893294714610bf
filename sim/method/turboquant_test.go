package method

import "testing"

// TestTurboQuantSlots holds the bytes of a token's key and value against those of vLLM's presets for 128 channels,
// and against the rounding up to an even number for 8. The length of a sketch takes two more.
func TestTurboQuantSlots(t *testing.T) {
	for _, tt := range []struct {
		preset, qjl string
		want        [2]int
	}{
		{"k8v4", "off", [2]int{196, 16}},
		{"4bit_nc", "off", [2]int{134, 14}},
		{"k3v4_nc", "off", [2]int{118, 14}},
		{"3bit_nc", "off", [2]int{102, 12}},
		{"4bit_nc", "on", [2]int{136, 16}},
		{"k3v4_nc", "on", [2]int{120, 16}},
		{"3bit_nc", "on", [2]int{104, 14}},
	} {
		f, err := newTurboQuant(Args{"preset": tt.preset, "boundary": "2", "qjl": tt.qjl})
		if err != nil {
			t.Fatal(err)
		}
		for i, d := range []int{128, 8} {
			var sides [2]coding
			for s := range sides {
				if sides[s], err = f(Cell{NumLayers: 8, Dim: d, VDim: d}, side{channels: d, values: s == 1}); err != nil {
					t.Fatal(err)
				}
			}
			if got := sides[0].layout.Blocks.RowBytes(d) + sides[1].layout.Blocks.RowBytes(d); got != tt.want[i] {
				t.Errorf("%s, qjl=%s, of %d channels: %d bytes, want %d", tt.preset, tt.qjl, d, got, tt.want[i])
			}
		}
	}
}

// TestTurboQuantBoundary: the first and the last layers of the model stay f16, and what shares a cache with them.
func TestTurboQuantBoundary(t *testing.T) {
	m := turboQuant{keys: 4, values: 4, boundary: 2}
	c := Cell{NumLayers: 8, Dim: 16, VDim: 16}
	for _, tt := range []struct {
		layers []int
		f16    bool
	}{{[]int{0}, true}, {[]int{1}, true}, {[]int{2}, false}, {[]int{5}, false}, {[]int{6}, true}, {[]int{7}, true}, {[]int{1, 2}, true}, {[]int{5, 6}, true}, {[]int{3, 4}, false}} {
		for _, values := range []bool{false, true} {
			how, err := m.code(c, side{channels: 16, values: values, makers: tt.layers})
			if err != nil || how.left != tt.f16 {
				t.Errorf("layers %v, values %v: left %v, %v", tt.layers, values, how.left, err)
			}
		}
	}
}
