package method

import "kvgauge/sim/kernel"

func init() {
	Register(Info{
		Name: "int4", Family: Quantisation,
		Summary: "4 bits a channel, an f16 scale and minimum for each 32 channels of a key or value",
		Reduces: "bits",
		Paper:   "no paper: asymmetric round-to-nearest per token in groups of channels, the value side of KIVI (Liu et al. 2024, arXiv:2402.02750, section 3.1)",
		Params: []Param{
			{Name: "group", Kind: Int, Default: "32", Min: 2, Max: 1024, Help: "channels of a row, or tokens of a channel, that share a scale and a minimum"},
			{Name: "axis", Kind: Choice, Default: "token", Choices: []string{"token", "channel"}, Help: "whether scales belong to tokens or to channels"},
		},
		Variants: []string{"axis=channel,group=24", "group=8"},
		Combined: []string{"snapkv+int4", "lowrank:kind=xkv+int4", "mla:rank=40+int4:axis=channel,group=8"},
		Format:   newInt4,
	})
}

// newInt4 is the codec. With scales that belong to channels the latest tokens wait in f16 until they are a group.
func newInt4(a Args) (format, error) {
	group := a.Int("group")
	switch {
	case a["axis"] == "channel":
		return alike(kernel.Layout{Format: kernel.Int4, Tokens: group, Residual: kernel.ResidualWindow{Flush: group}}), nil
	case group == kernel.GroupDim:
		return alike(kernel.Plain(kernel.Int4)), nil
	}
	return alike(kernel.Blockwise(kernel.Uniform(4, group))), nil
}
