package cmd

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"kvgauge/sim"
	"kvgauge/sim/kernel"
	"kvgauge/sim/method"
	"kvgauge/sim/model"
	"kvgauge/sim/model/tokenizer"
	"kvgauge/sim/record"
	"kvgauge/sim/trace"
)

// captureFlags are the flags of trace capture.
type captureFlags struct {
	model, text, ids, tokens, out, layers, dtype, last, logits, progress string
	threads                                                              int
	chat                                                                 bool
}

func newTraceCaptureCmd(s *system) *cobra.Command {
	f := &captureFlags{}
	c := &cobra.Command{
		Use:   "capture",
		Short: "Run a model on a text and write a trace of its attention",
		Long: `Capture runs the forward pass of a model and writes what each layer's attention was given, queries and keys
after the rotary embedding, and values, with what it put out, so that runs can check the trace.

The model is a checkpoint folder of Hugging Face (config.json, safetensors in one file or in shards, and
tokenizer.json for --text) or a .bin file of llama2.c. Weights of F32, F16 and BF16 are read layer by
layer and computed with in float32. Families, by model_type of config.json:
` + indented(model.Families()) + `
Others: kvgauge trace hook prints a program that captures any model in PyTorch.`,
		Example: `  kvgauge trace capture --model SmolLM2-135M --text book.txt --tokens 2k --out smollm2.safetensors
  kvgauge trace capture --model Llama-3.1-8B --text book.txt --tokens 8k --layers 0,15,31 --last 256 --dtype F16 --out llama.safetensors
  kvgauge trace capture --model stories260K.bin --token-ids ids.txt --out stories.safetensors --logits logits.safetensors`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return runTraceCapture(c.Context(), s, f) },
	}
	fl := c.Flags()
	fl.StringVar(&f.model, "model", "", "checkpoint `path`: a folder, or a .bin file of llama2.c")
	fl.StringVar(&f.text, "text", "", "text `file`, which the model's tokenizer.json makes tokens of")
	fl.BoolVar(&f.chat, "chat", false, "make the text a user's message, by the model's chat template")
	fl.StringVar(&f.ids, "token-ids", "", "`file` of token ids: numbers with white space between, or an .npy file of I32 or I64")
	fl.StringVar(&f.tokens, "tokens", "", "`length` of the trace, such as 2k: the first so many tokens (default all)")
	fl.StringVar(&f.out, "out", "", "`file` or folder to write: .safetensors, .npz, or neither for a folder of npy files")
	fl.StringVar(&f.layers, "layers", "", "`subset` to keep, such as 0,4..7 (default all)")
	enumFlag(c, &f.dtype, "dtype", "F32", []string{"F32", "F16", "BF16"}, "")
	fl.StringVar(&f.last, "last", "", "keep the queries of the last `n` tokens only (default all)")
	fl.StringVar(&f.logits, "logits", "", "`file` to write the logits to as well")
	fl.IntVar(&f.threads, "threads", runtime.GOMAXPROCS(0), "`n` goroutines that compute")
	enumFlag(c, &f.progress, "progress", "auto", []string{"auto", "on", "off"}, "")
	c.MarkFlagsMutuallyExclusive("text", "token-ids")
	c.MarkFlagsMutuallyExclusive("chat", "token-ids")
	return c
}

// indented lists words, some a line.
func indented(words []string) string {
	var b bytes.Buffer
	for line := range slices.Chunk(words, 8) {
		fmt.Fprintln(&b, " ", strings.Join(line, ", "))
	}
	return b.String()
}

// runTraceCapture writes the trace.
func runTraceCapture(ctx context.Context, s *system, f *captureFlags) error {
	c := model.Capture{Dtype: f.dtype, Path: f.out, Logits: f.logits}
	if err := f.check(&c); err != nil {
		return err
	}
	m, err := model.Open(f.model)
	if err != nil {
		return record.InOption("model", err)
	}
	defer m.Close()
	for _, line := range m.Ignored {
		fmt.Fprintf(s.err, "kvgauge: model %s: %s\n", m.Name, line)
	}
	if err := f.read(s, &c, m); err != nil {
		return err
	}
	if need, have := m.Memory(len(c.Tokens), c.Logits != ""), sim.ThisMachine().Memory; have > 0 && uint64(need) > have {
		return record.Input(fmt.Errorf("model %s: %d tokens take about %s of memory, this machine has %s; want more memory or fewer %stokens",
			m.Name, len(c.Tokens), humanize.IBytes(uint64(need)), humanize.IBytes(have), record.Opt))
	}
	if n := len(c.Tokens); m.Positions > 0 && n > m.Positions {
		fmt.Fprintf(s.err, "kvgauge: model %s: %d tokens, beyond the %d that it was made for\n", m.Name, n, m.Positions)
	}
	bar := newCaptureBar(s, f.progress)
	defer bar.close()
	c.Progress = bar.show
	c.Pool = kernel.NewPool(f.threads)
	defer c.Pool.Close()
	s.leaves("%s was not written", f.out)
	if err := c.Write(ctx, m); err != nil {
		return err
	}
	s.leaves("")
	return nil
}

// check reads the flags that no model is needed for.
func (f *captureFlags) check(c *model.Capture) error {
	switch {
	case f.model == "":
		return lacks("model", "want a checkpoint folder, or a .bin file of llama2.c")
	case f.text == "" && f.ids == "":
		return lacks("text", "want the text to run the model on, or token-ids")
	case f.out == "":
		return lacks("out", "want the file or folder to write")
	case f.threads < 1:
		return wrong("threads", f.threads, "want at least 1")
	}
	inputs := []string{f.model, cmp.Or(f.text, f.ids)}
	if err := outputTrace(&f.out, inputs...); err != nil {
		return err
	}
	if f.logits != "" {
		if strings.ToLower(filepath.Ext(f.logits)) != ".safetensors" {
			return wrong("logits", f.logits, "want a file that ends in .safetensors")
		}
		if err := outputFile("logits", &f.logits, inputs...); err != nil {
			return err
		}
		if sameFile(f.logits, f.out) {
			return wrong("logits", f.logits, "want another file than that of the trace")
		}
	}
	if f.layers != "" {
		var err error
		if c.Layers, err = parseLayers(f.layers); err != nil {
			return err
		}
		slices.Sort(c.Layers)
	}
	if f.last != "" {
		var err error
		if c.Last, err = parseTokenCount("last", f.last, method.MaxCount, "256"); err != nil {
			return err
		}
	}
	return nil
}

// read fills in the tokens.
func (f *captureFlags) read(s *system, c *model.Capture, m *model.Model) error {
	option, path := "token-ids", f.ids
	if f.text != "" {
		option, path = "text", f.text
	}
	var err error
	if f.text != "" {
		c.Tokens, err = f.encode(s.now())
	} else {
		c.Tokens, err = readIDs(f.ids)
	}
	if err != nil {
		return wrong(option, path, "%w", err)
	}
	c.Source = "kvgauge trace capture of " + filepath.Base(path)
	if err := f.cut(c, path); err != nil {
		return err
	}
	if len(c.Tokens) == 0 {
		return wrong(option, path, "no tokens, want at least one")
	}
	if i := slices.IndexFunc(c.Tokens, func(id int32) bool { return id < 0 || int(id) >= m.Vocabulary }); i >= 0 {
		return wrong(option, path, "token %d: id %d, want 0 to %d, the vocabulary of model %s", i, c.Tokens[i], m.Vocabulary-1, m.Name)
	}
	return nil
}

// cut leaves the first tokens of those of a file.
func (f *captureFlags) cut(c *model.Capture, path string) error {
	if f.tokens == "" {
		return nil
	}
	n, err := parseTokenCount("tokens", f.tokens, method.MaxCount, "2k")
	switch {
	case err != nil:
		return err
	case n > len(c.Tokens):
		return wrong("tokens", f.tokens, "%s holds %s", path, record.Count(len(c.Tokens), "token", ""))
	}
	c.Tokens = c.Tokens[:n]
	return nil
}

// encode makes tokens of the text by the model's own tokenizer.
func (f *captureFlags) encode(now time.Time) ([]int32, error) {
	text, err := readText(f.text)
	if err != nil {
		return nil, err
	}
	if info, err := os.Stat(f.model); err == nil && !info.IsDir() {
		return nil, errors.New("a .bin file has no tokenizer.json, want the ids of the text's tokens (" + record.Opt + "token-ids)")
	}
	name := filepath.Base(f.model)
	t, err := tokenizer.Read(filepath.Join(f.model, "tokenizer.json"))
	if err != nil {
		return nil, fmt.Errorf("model %s: tokenizer.json: %w (any tokens come by %stoken-ids)", name, err, record.Opt)
	}
	if !f.chat {
		return t.Encode(text)
	}
	message, err := tokenizer.Chat(f.model, string(text), now)
	if err != nil {
		return nil, fmt.Errorf("model %s: %w", name, err)
	}
	return t.EncodeChat([]byte(message))
}

// readIDs reads numbers with white space between, or an array of NumPy.
func readIDs(path string) ([]int32, error) {
	if strings.ToLower(filepath.Ext(path)) == ".npy" {
		return trace.ReadIDs(path)
	}
	text, err := readText(path)
	if err != nil {
		return nil, err
	}
	var ids []int32
	for _, word := range bytes.Fields(text) {
		n, err := strconv.ParseInt(string(word), 10, 32)
		if err != nil {
			return nil, fmt.Errorf("number %d: %.40q, want a token id from 0 to %d", len(ids), word, math.MaxInt32)
		}
		ids = append(ids, int32(n))
	}
	return ids, nil
}

// maxText bounds what is read of a text: more tokens than anybody takes through a model.
const maxText = 256 << 20

// readText reads a whole file, or a pipe.
func readText(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, errors.Unwrap(err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxText+1))
	switch {
	case err != nil:
		return nil, errors.Unwrap(err)
	case len(text) > maxText:
		return nil, fmt.Errorf("more than %d bytes, want at most so many", maxText)
	case len(text) == 0:
		return nil, errors.New("empty")
	}
	return text, nil
}
