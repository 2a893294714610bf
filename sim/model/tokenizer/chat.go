package tokenizer

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/nikolalohinski/gonja/v2/builtins"
	"github.com/nikolalohinski/gonja/v2/config"
	"github.com/nikolalohinski/gonja/v2/exec"
	"github.com/nikolalohinski/gonja/v2/loaders"

	"kvgauge/sim/record"
)

// maxTemplate bounds chat_template.jinja and tokenizer_config.json.
const maxTemplate = 64 << 20

// Chat returns what a model's chat template makes of a text as a user's only message, up to where the model would answer. The
// template is chat_template.jinja of the model's folder, or chat_template in tokenizer_config.json; it is rendered as transformers
// does, by github.com/nikolalohinski/gonja, and reads no files.
func Chat(dir, text string, now time.Time) (string, error) {
	special, template, err := readChat(dir)
	if err != nil {
		return "", err
	}
	rendered, err := render(template, special, text, now)
	if err != nil { // which the library words with all of the template
		return "", fmt.Errorf("chat template: %s", lastLine(err))
	}
	return rendered, nil
}

// lastLine is the end of an error, from its last line on.
func lastLine(err error) string {
	lines := strings.Split(strings.TrimSpace(err.Error()), "\n")
	return strings.TrimPrefix(lines[len(lines)-1], "': ")
}

// readChat returns the special tokens by name, as templates call them, and the template.
func readChat(dir string) (special map[string]any, template string, err error) {
	const file = "tokenizer_config.json"
	fields := map[string]json.RawMessage{}
	text, err := readBounded(filepath.Join(dir, file))
	switch {
	case err == nil:
		if err := json.Unmarshal(text, &fields); err != nil {
			return nil, "", fmt.Errorf("%s: %w", file, record.JSONError(err))
		}
	case !errors.Is(err, fs.ErrNotExist):
		return nil, "", fmt.Errorf("%s: %w", file, err)
	}
	special = map[string]any{}
	for _, name := range []string{"bos_token", "eos_token", "pad_token", "unk_token"} {
		if token, ok := tokenText(fields[name]); ok {
			special[name] = token
		}
	}
	if text, err := readBounded(filepath.Join(dir, "chat_template.jinja")); err == nil {
		return special, string(text), nil
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, "", fmt.Errorf("chat_template.jinja: %w", err)
	}
	if json.Unmarshal(fields["chat_template"], &template) == nil && template != "" {
		return special, template, nil
	}
	var several []struct{ Name, Template string }
	if json.Unmarshal(fields["chat_template"], &several) == nil {
		for _, t := range several {
			if t.Name == "default" {
				return special, t.Template, nil
			}
		}
	}
	return nil, "", errors.New("no chat_template.jinja and no chat_template in tokenizer_config.json, want one of them")
}

// tokenText is a token, which may be an object with its content.
func tokenText(x json.RawMessage) (text string, ok bool) {
	var object struct{ Content *string }
	switch {
	case len(x) == 0:
		return "", false
	case json.Unmarshal(x, &text) == nil && string(x) != "null":
		return text, true
	case json.Unmarshal(x, &object) == nil && object.Content != nil:
		return *object.Content, true
	}
	return "", false
}

// readBounded reads a file of at most maxTemplate bytes.
func readBounded(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, errors.Unwrap(err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxTemplate+1))
	switch {
	case err != nil:
		return nil, errors.Unwrap(err)
	case len(text) > maxTemplate:
		return nil, fmt.Errorf("more than %d bytes, want at most so many", maxTemplate)
	}
	return text, nil
}

// render runs a template. What it finds itself unable to do is an error of the library's, or a panic of it.
func render(template string, special map[string]any, text string, now time.Time) (rendered string, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%v", r)
		}
	}()
	c := config.New()
	c.TrimBlocks, c.LeftStripBlocks = true, true
	const name = "/chat"
	loader, err := loaders.NewMemoryLoader(map[string]string{name: template})
	if err != nil {
		return "", err
	}
	t, err := exec.NewTemplate(name, c, loader, &exec.Environment{
		Context: exec.EmptyContext().Update(builtins.GlobalFunctions).Update(builtins.GlobalVariables),
		Filters: builtins.Filters, Tests: builtins.Tests, ControlStructures: builtins.ControlStructures, Methods: builtins.Methods,
	})
	if err != nil {
		return "", err
	}
	values := map[string]any{
		"messages":              []any{map[string]any{"role": "user", "content": text}},
		"add_generation_prompt": true,
		"tools":                 nil,
		"documents":             nil,
		"raise_exception":       func(text string) (string, error) { return "", errors.New(text) },
		"strftime_now":          func(format string) (string, error) { return date(format, now) },
	}
	for token, text := range special {
		values[token] = text
	}
	return t.ExecuteToString(exec.NewContext(values))
}

// date formats a time as strftime does, for what templates ask for.
func date(format string, now time.Time) (string, error) {
	text := strings.NewReplacer(
		"%Y", now.Format("2006"), "%m", now.Format("01"), "%d", now.Format("02"), "%B", now.Format("January"), "%b", now.Format("Jan"),
		"%H", now.Format("15"), "%M", now.Format("04"), "%S", now.Format("05"), "%A", now.Format("Monday"), "%a", now.Format("Mon"),
	).Replace(format)
	if strings.Contains(text, "%") {
		return "", fmt.Errorf("strftime_now(%q) is not known", format)
	}
	return text, nil
}
