package cmd

import (
	_ "embed"
	"io"

	"github.com/spf13/cobra"
)

// hookProgram captures a trace of a PyTorch model. It is a program of its own, for machines that have one.
//
//go:embed hook.py
var hookProgram string

func newTraceHookCmd(s *system) *cobra.Command {
	return &cobra.Command{
		Use:   "hook",
		Short: "Print a Python program that captures a trace of a PyTorch model",
		Long: `Hook prints a Python program that runs a model of Hugging Face transformers (4.57, 5.24) over a text and
writes a trace of its attention: queries, keys and values of each layer after the rotary embedding and before
heads are repeated, latents where a layer caches them, the bytes of states, windows, chunks, scale, soft cap,
sinks and rotary frequencies, and what the model's own attention put out, which proves the rest. It finds them
in what the model's functions are handed, whatever the model; what it cannot see it says.

The program needs numpy, safetensors, torch and transformers, and nothing of kvgauge.`,
		Example: `  kvgauge trace hook > hook.py
  python hook.py --help
  python hook.py --model Qwen/Qwen3-0.6B --text article.txt --tokens 2048 --out qwen3.safetensors
  kvgauge trace info qwen3.safetensors`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			_, err := io.WriteString(s.out, hookProgram)
			return err
		},
	}
}
