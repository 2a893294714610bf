package kernel

import (
	"bytes"
	"strings"
	"sync"
	"testing"
	"unsafe"
)

// TestFlushCoversBuffers: every byte of every buffer is flushed once, whatever their lengths.
func TestFlushCoversBuffers(t *testing.T) {
	all := make([]byte, 6*flushPart)
	for i := range all {
		all[i] = 1
	}
	var lock sync.Mutex
	flushed := 0
	f := newFlusher("test", func(p *byte, n int) {
		lock.Lock()
		defer lock.Unlock()
		flushed += n
		for i := range unsafe.Slice(p, n) {
			unsafe.Slice(p, n)[i]--
		}
	})
	pool := NewPool(3)
	defer pool.Close()
	at := 0
	var buffers [][]byte
	for _, n := range []int{0, 1, 63, flushPart - 1, flushPart, flushPart + 1, 2 * flushPart} {
		buffers = append(buffers, all[at:at+n])
		at += n
	}
	f.Flush(pool, buffers)
	if flushed != at || !bytes.Equal(all[:at], make([]byte, at)) || bytes.IndexByte(all[at:], 0) >= 0 {
		t.Errorf("%d of %d bytes flushed", flushed, at)
	}
}

// TestFlushKeepsMemory: what was written stays.
func TestFlushKeepsMemory(t *testing.T) {
	buf := make([]byte, 3*flushPart+5)
	name, lines := lineFlush()
	if lines == nil {
		t.Skip("no instruction flushes lines here")
	}
	f := newFlusher(name, lines)
	for round := range byte(3) {
		for i := range buf {
			buf[i] = round + byte(i*i>>3)
		}
		f.Flush(nil, [][]byte{buf[1 : len(buf)-2]})
		for i := range buf {
			if buf[i] != round+byte(i*i>>3) {
				t.Fatalf("%s: byte %d changed", name, i)
			}
		}
	}
}

// TestConclude: cold is what a probe has seen.
func TestConclude(t *testing.T) {
	for _, tt := range []struct {
		ratio  float64
		cold   bool
		reason string
	}{
		{9, true, ""},
		{2, true, ""},
		{1.9, false, "memory takes 1.90 times as long to read after test as before"},
		{0.5, false, "memory takes 0.50 times"},
	} {
		flushed := false
		f := newFlusher("test", func(*byte, int) { flushed = true })
		f.conclude(tt.ratio)
		if f.Flush(nil, [][]byte{make([]byte, 64)}); flushed != tt.cold {
			t.Errorf("ratio %g: flushes: %v", tt.ratio, flushed)
		}
		if f.Cold != tt.cold || f.Ratio != tt.ratio || !strings.HasPrefix(f.Reason, tt.reason) || (f.Reason == "") != tt.cold {
			t.Errorf("ratio %g: %+v", tt.ratio, f.Flushing)
		}
	}
}

// TestSweeps: a cache too large to sweep in time is refused before its memory is taken.
func TestSweeps(t *testing.T) {
	small, large := newFlusher("", nil), newFlusher("", nil)
	if large.sweeps(nil, 1<<45) || large.swept != nil || !strings.Contains(large.Reason, "33554432 MiB takes more than 4ms") {
		t.Errorf("32 TiB: %+v", large.Flushing)
	}
	// A busy machine may be too slow for a small one, too.
	if ok := small.sweeps(nil, 1000); ok != (len(small.swept) == 2048) || ok == (small.Reason != "") {
		t.Errorf("1000 bytes: %+v, %d bytes", small.Flushing, len(small.swept))
	}
	small.Flush(nil, nil)
}

// TestProbe: a probe gives a ratio, and a Flusher of this machine says what it found.
func TestProbe(t *testing.T) {
	f := NewCacheFlusher(nil, 1<<20)
	if f.By == "" || f.Cold != (f.Reason == "") || f.Cold != (f.Ratio >= leastCold) {
		t.Errorf("%+v", f.Flushing)
	}
	t.Logf("%+v", f.Flushing)
}

func TestMemory(t *testing.T) {
	if got := Memory([]uint32{1, 1 << 24}); !bytes.Equal(got, []byte{1, 0, 0, 0, 0, 0, 0, 1}) && !bytes.Equal(got, []byte{0, 0, 0, 1, 1, 0, 0, 0}) {
		t.Errorf("%v", got)
	}
	if got := Memory([]float64(nil)); len(got) != 0 {
		t.Errorf("nothing: %v", got)
	}
}
