package method

import (
	"fmt"
	"math/rand/v2"

	"kvgauge/sim/cache"
	"kvgauge/sim/kernel"
)

// rotateParam is that of every format.
var rotateParam = Param{
	Name: "rotate", Kind: Choice, Default: "auto", Choices: []string{"on", "off", "auto"},
	Help: "Hadamard rotation of rows and queries before; auto: as the engines do that have the format; what it does not fit stays as it is, with a footnote",
}

// engineRotation is how the engines that have a format rotate rows before it: which channels are rotated together, 0 for
// rows that they do not rotate, and what they would rotate, for a footnote; "" where they do not rotate the side at all.
type engineRotation struct {
	block  func(s side) (channels int, want string)
	signed bool // rows are multiplied by random signs before
	fixed  bool // the block was asked for: no other is taken in its place
}

// wholeRow is the rotation of rows as a whole, whose channels are a power of two.
func wholeRow(s side) (block int, want string) {
	if s.channels&(s.channels-1) == 0 {
		block = s.channels
	}
	return block, "powers of two"
}

// rotation is what is done with rows before they are stored in a format, by a Hadamard matrix.
type rotation struct {
	when   string         // on, off or auto
	engine engineRotation // block is nil where engines do not rotate
}

// of is the transform of a side's rows, nil for none, and the footnote where it does not fit them. A latent row must not be
// mixed across the end of its value.
//
// With on, rows that the engines do not rotate are so by the largest power of two that divides them.
func (r rotation) of(c Cell, s side) (*kernel.Hadamard, []cache.Warning) {
	if r.when == "off" {
		return nil, nil
	}
	block, want := 0, ""
	if r.engine.block != nil {
		block, want = r.engine.block(s)
	}
	if block > 0 && (s.channels%block != 0 || s.inner%block != 0) {
		block = 0
	}
	most := (s.channels | s.inner) & -(s.channels | s.inner)
	if block == 0 && r.when == "on" && !r.engine.fixed {
		block, want = most, "even numbers of channels"
	}
	switch {
	case block > 1:
		h := &kernel.Hadamard{Block: block}
		if r.engine.signed {
			h.Signs = randomSigns(c.Seed, block)
		}
		return h, nil
	case want == "":
		return nil, nil
	}
	text := fmt.Sprintf("rows of %d channels are stored without a rotation, which takes %s", s.channels, want)
	if r.when == "auto" && most > 1 && !r.engine.fixed {
		text += fmt.Sprintf("; rotate=on turns %d channels together", most)
	}
	return nil, []cache.Warning{{Code: "not-rotated", Text: text}}
}

// signStream separates the signs from everything else that is drawn with a cell's seed.
const signStream = 0x9E3779B9

// randomSigns are as many as there are channels in a block; keys and values of one width have them in common.
func randomSigns(seed uint64, channels int) []float32 {
	r := rand.New(rand.NewPCG(seed, signStream))
	signs := make([]float32, channels)
	for i := range signs {
		signs[i] = float32(2*r.IntN(2) - 1)
	}
	return signs
}
