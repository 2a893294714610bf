//go:build amd64 && !purego

package kernel

import "testing"

// TestFlushLines: neither instruction changes what was written, wherever the bytes begin and end.
func TestFlushLines(t *testing.T) {
	ways := map[string]func(p *byte, n int){"clflush": flushLines}
	name, lines := lineFlush()
	ways[name] = lines
	buf := make([]byte, 300)
	for name, flush := range ways {
		for lo := range 70 {
			for _, n := range []int{1, 63, 64, 65, 200} {
				for i := range buf {
					buf[i] = byte(i ^ lo ^ n)
				}
				flush(&buf[lo], n)
				for i, b := range buf {
					if b != byte(i^lo^n) {
						t.Fatalf("%s of %d bytes from %d: byte %d changed", name, n, lo, i)
					}
				}
			}
		}
	}
}
