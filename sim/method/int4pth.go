package method

import (
	"math/rand/v2"

	"kvgauge/sim/cache"
	"kvgauge/sim/kernel"
)

func init() {
	Register(Info{
		Name: "int4pth", Family: Quantisation,
		Summary: "4 bits a channel and one f32 for each key and value, after a Hadamard rotation with random signs",
		Reduces: "bits",
		Paper:   "no paper: vLLM's int4_per_token_head",
		Code:    "vllm-project/vllm triton_quant_kv/_hadamard.py, _packed_reshape.py",
		New:     func(Args) (Method, error) { return codec(int4PTH), nil },
	})
}

// signStream separates the signs from everything else that is drawn with a cell's seed.
const signStream = 0x9E3779B9

// int4PTH is the codec.
//
// Differs: the signs are drawn by the cell's seed, not by the serving stack's generator, so that results agree in
// distribution, not code by code; and rows that come in f32 are not rounded to bf16 before they are rotated.
func int4PTH(c Cell) (cache.Codec, error) {
	l := kernel.Blockwise(kernel.Tokenwise4())
	d := cache.Codec{K: l, V: l}
	if err := powerOfTwo(c); err != nil {
		return d, err
	}
	d.HadamardK, d.HadamardV = signedHadamard(c.Seed, c.Dim), signedHadamard(c.Seed, c.VDim)
	return d, nil
}

// signedHadamard is the rotation of rows of some channels with random signs, which keys and values of one width have in common.
func signedHadamard(seed uint64, channels int) *kernel.Hadamard {
	r := rand.New(rand.NewPCG(seed, signStream))
	h := &kernel.Hadamard{Block: channels, Signs: make([]float32, channels)}
	for i := range h.Signs {
		h.Signs[i] = float32(2*r.IntN(2) - 1)
	}
	return h
}
