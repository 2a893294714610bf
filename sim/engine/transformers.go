package engine

import "errors"

// transformers caches whatever a model's tokens bring, sequence by sequence, in the model's own type: layers with a window
// keep what the next query sees beside itself.
var transformers = Engine{
	Name: "transformers", Version: "5.24.0", Repository: "huggingface/transformers",
	Source: "src/transformers/cache_utils.py (DynamicCache) and each model's modeling file, measured",
	Bytes: func(r Request, tokens int) (int64, error) {
		if r.Rows != nil || r.Elem == 1 {
			return 0, errors.New("transformers 5.24.0: its quantised caches are not modelled")
		}
		return r.Model.Bytes(tokens, 0, r.Elem), nil
	},
	Note: func(r Request) string {
		if !windows(r.Model) {
			return ""
		}
		return "between a prompt of one pass and the next token, layers with a window hold all of the prompt's rows: what they show are views"
	},
}
