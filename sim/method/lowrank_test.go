package method

import "testing"

// TestRanks: the key rank alone moves both, in the proportion of the defaults, up to the values' channels.
func TestRanks(t *testing.T) {
	tests := []struct {
		given, defaults ranks
		vWidth          int
		want            ranks
	}{
		{ranks{}, ranks{256, 768}, 2048, ranks{256, 768}},
		{ranks{k: 100}, ranks{256, 768}, 2048, ranks{100, 300}},
		{ranks{k: 700}, ranks{256, 768}, 2048, ranks{700, 2048}},
		{ranks{k: 5}, ranks{352, 352}, 512, ranks{5, 5}},
		{ranks{k: 1}, ranks{8, 4}, 16, ranks{1, 1}},
		{ranks{v: 9}, ranks{256, 768}, 2048, ranks{256, 9}},
		{ranks{3, 9}, ranks{256, 768}, 2048, ranks{3, 9}},
		{ranks{}, ranks{0, 0}, 4, ranks{1, 1}},
	}
	for _, tt := range tests {
		if got := tt.given.of(tt.defaults.k, tt.defaults.v, tt.vWidth); got != tt.want {
			t.Errorf("%v of defaults %v, %d channels of values: %v, want %v", tt.given, tt.defaults, tt.vWidth, got, tt.want)
		}
	}
}
