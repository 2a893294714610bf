package sim

import "testing"

// BenchmarkCapacities plans the default pipelines of plan for a model of 32 layers, with what fits.
func BenchmarkCapacities(b *testing.B) {
	m, err := OpenModel("llama-3-8b")
	if err != nil {
		b.Fatal(err)
	}
	o := CapacityOptions{
		Model: m.Model, Name: m.Name, Engine: Ideal, DType: dtype(b, "bf16"), Lengths: []int{4096, 8192, 16384, 32768, 65536, 131072}, Batch: 1, Ranks: 1,
		Pipelines: parse(b, "full,fp8,q8_0,q4_0,kivi,snapkv,streamingllm"), Memory: 24 << 30, Weights: 15 << 30,
	}
	for b.Loop() {
		if _, err := Capacities(o); err != nil {
			b.Fatal(err)
		}
	}
}
