package method

import "kvgauge/sim/kernel"

func init() {
	Register(Info{
		Name: "int8", Family: Quantisation,
		Summary: "8 bits a channel, one f16 scale for each key and each value, or scales elsewhere",
		Reduces: "bits",
		Paper:   "no paper: symmetric round-to-nearest per token and KV head, as serving engines store it",
		Combined: []string{
			"corm+int8", "h2o+int8", "adakv+int8", "triattention:interval=8+int8", "duoattention:full=0%,recent=20+int8",
			"cla:calibrated=on+mla:rank=40+snapkv+int8", "think:ratio=0.5,window=8+int8", "minicache+int8",
		},
		Params: []Param{
			{Name: "scale", Kind: Choice, Default: "token", Choices: []string{"tensor", "head", "token", "channel"}, Help: "token has an f16 scale for each key and value, tensor and head an f32 scale a layer or KV head from the prompt's largest magnitude, channel an f16 scale for each block of tokens"},
			blockParam,
		},
		Variants: []string{"scale=tensor", "scale=head", "block=8,scale=channel"},
		Format: func(a Args) (format, error) {
			if a["scale"] == "token" {
				return alike(kernel.Plain(kernel.Int8)), nil
			}
			return scaled(a, kernel.Signed8()), nil
		},
	})
}
