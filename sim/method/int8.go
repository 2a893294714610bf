package method

import (
	"kvgauge/sim/cache"
	"kvgauge/sim/kernel"
)

func init() {
	Register(Info{
		Name: "int8", Family: Quantisation,
		Summary: "8 bits a channel, one f16 scale for each key and each value",
		Reduces: "bits",
		Paper:   "no paper: symmetric round-to-nearest per token and KV head, as serving engines store it",
		New:     func(Args) (Method, error) { return format{kernel.Int8}, nil },
	})
}

// format stores keys and values in one of the kernel's formats. Rows are encoded as they are appended, and a
// step reads the codes: it sees its own token encoded too.
type format struct{ kernel.Format }

var _ Method = format{}

// Fit accepts every cell.
func (format) Fit(c Cell) (Cell, error) { return c, nil }

// Decide names the format.
func (f format) Decide(Cell, *cache.View) (cache.Decision, error) {
	return cache.Decision{Codec: &cache.Codec{K: kernel.Plain(f.Format), V: kernel.Plain(f.Format)}}, nil
}
