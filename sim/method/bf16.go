package method

import "kvgauge/sim/kernel"

func init() {
	Register(Info{
		Name: "bf16", Family: Quantisation,
		Summary: "16 bits a channel, 8 of them the exponent: the range of f32",
		Reduces: "bits",
		Paper:   "no paper: the upper half of IEEE 754 binary32, rounded to nearest even",
		Format:  func(Args) (format, error) { return alike(kernel.Plain(kernel.BF16)), nil },
	})
}

// Wider is the pipeline that stores what f16 cannot hold: this one in bf16, or where it has a format of its own, or none,
// bf16 alone.
func (p *Pipeline) Wider() string {
	const wide = "bf16"
	if ps, err := Parse([]string{p.Name + "+" + wide}, []Entries{{Percent: 100}}); err == nil {
		return ps[0].Name
	}
	return wide
}
