package trace

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// modelName matches names that are given to language models: those of a family, or with the number of their parameters.
var modelName = regexp.MustCompile(`(?i)(^|[^a-z])(arcee|bloom|c4ai|cohere|command-r|deepseek|exaone|falcon|gemma|glm|gpt|granite|hunyuan|internlm|jamba|kimi|lfm|llama|mamba|minicpm|minimax|ministral|mistral|mixtral|mpt|nemotron|olmo|opt|phi|pythia|qwen|smollm|stablelm|starcoder|vicuna|yi|zephyr)([^a-z]|$)|(^|[-_./])[0-9]+([._][0-9]+)?[bm]($|[-_.])`)

// traceEnds are what the names of traces end in.
var traceEnds = []string{safetensorsExt, npzExt, npyExt}

// modelHint says how to make a trace of what is no trace but may be a model: a name like those of models, or a folder
// that holds one, or a file in it. It is "" where nothing points to a model.
func modelHint(spec string) string {
	folder := "FOLDER"
	switch info, err := os.Stat(spec); {
	case err != nil:
		if slices.Contains(traceEnds, strings.ToLower(filepath.Ext(spec))) || !modelName.MatchString(spec) {
			return ""
		}
	default:
		if !info.IsDir() {
			spec = filepath.Dir(spec)
		}
		if _, err := os.Stat(filepath.Join(spec, "config.json")); err != nil {
			return ""
		}
		folder = printable(spec)
	}
	return fmt.Sprintf("; of a model a trace is made first: kvgauge trace capture --model %s, or with PyTorch kvgauge trace hook > hook.py, "+
		"python hook.py --model %s --text FILE --out trace.safetensors", folder, printable(spec))
}
