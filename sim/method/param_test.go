package method

import "testing"

// Counts are those that positions of 32 bits number, with k for 1024.
func TestParseCount(t *testing.T) {
	for text, want := range map[string]int{
		"0": 0, "128": 128, "4k": 4096, "2147483647": MaxCount, "2097151k": 2097151 * 1024,
		"": -1, "k": -1, "-1": -1, "1.5k": -1, "2147483648": -1, "2097152k": -1, "99999999999k": -1, "9007199254740993k": -1,
	} {
		n, err := ParseCount(text)
		if (err == nil) != (want >= 0) || err == nil && n != want {
			t.Errorf("%q: %d, %v, want %d", text, n, err, want)
		}
	}
}
