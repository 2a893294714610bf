package method

func init() {
	Register(Info{
		Name: "mqa", Family: Sharing,
		Summary:  "one KV head for all query heads, converted from the trace's by pooling",
		Reduces:  "heads",
		Paper:    "Shazeer 2019, arXiv:1911.02150; conversion by Ainslie et al. 2023, arXiv:2305.13245, section 2.1",
		Params:   []Param{initParam, calibratedParam},
		Seed:     []string{"mqa"},
		Variants: []string{"init=first", "calibrated=on"},
		New: func(a Args) (Method, error) {
			return gqa{heads: 1, init: a["init"], calibrated: a["calibrated"] == "on"}, nil
		},
	})
}
