package cmd

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"kvgauge/sim/arch"
)

func newListModelsCmd(s *system) *cobra.Command {
	var format string
	c := &cobra.Command{
		Use:   "models",
		Short: "List the models that come with the program: their configurations' fields and where these were published",
		Long: `The models that come with the program, for kvgauge plan --model NAME: the fields of the published
configuration that a cache follows from. Any other configuration in Hugging Face's form can be planned from its
file, if its model_type is one of those named last.`,
		Example: "  kvgauge list models\n  kvgauge list models --format json | jq '.[] | select(.name==\"llama-3-8b\").config' > config.json",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if format == "json" {
				return listModelsJSON(s.out)
			}
			return listModels(s.out)
		},
	}
	enumFlag(c, &format, "format", "table", []string{"table", "json"}, "")
	return c
}

// listModels prints a paragraph a model, and the types of configurations that can be read.
func listModels(out io.Writer) error {
	for _, p := range arch.Presets() {
		m, err := arch.Read(p.Config)
		if err != nil {
			return fmt.Errorf("preset %s: %w", p.Name, err)
		}
		fields, err := fieldsLine(p.Config)
		if err != nil {
			return fmt.Errorf("preset %s: %w", p.Name, err)
		}
		weights := ""
		if m.Params > 0 {
			weights = ", " + humanize.Comma(m.Params) + " weights"
		}
		fmt.Fprintf(out, "%s (%s, %d layers%s)\n  fields: %s\n  source: %s\n\n", p.Name, m.Type, len(m.Layers), weights, fields, p.Source)
	}
	_, err := fmt.Fprintf(out, "model types that can be read: %s\n", strings.Join(arch.Types(), ", "))
	return err
}

// fieldsLine prints a configuration's fields as name=value in their order, those of a part after the part's name, and
// counts what a list repeats.
func fieldsLine(config []byte) (string, error) {
	d := json.NewDecoder(bytes.NewReader(config))
	d.UseNumber()
	if _, err := d.Token(); err != nil {
		return "", err
	}
	var parts []string
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return "", err
		}
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return "", err
		}
		switch text := string(value); {
		case text[0] == '{':
			inside, err := fieldsLine(value)
			if err != nil {
				return "", err
			}
			parts = append(parts, fmt.Sprintf("%v: %s", name, inside))
		case text[0] == '[':
			var list []any
			if err := json.Unmarshal(value, &list); err != nil {
				return "", err
			}
			parts = append(parts, fmt.Sprintf("%v=%s", name, listText(list)))
		default:
			parts = append(parts, fmt.Sprintf("%v=%s", name, strings.Trim(text, `"`)))
		}
	}
	return strings.Join(parts, " "), nil
}

// listText prints a list of names with how often each stands there, and numbers as they are.
func listText(list []any) string {
	var names []string
	count := map[string]int{}
	for _, v := range list {
		name, ok := v.(string)
		if !ok {
			return strings.ReplaceAll(fmt.Sprint(list), " ", ",")
		}
		if count[name]++; !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	for i, name := range names {
		names[i] = fmt.Sprintf("%dx%s", count[name], name)
	}
	return "[" + strings.Join(names, ",") + "]"
}

// listModelsJSON prints the presets for other programs: config is a configuration that plan reads.
func listModelsJSON(out io.Writer) error {
	enc := json.NewEncoder(out)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(arch.Presets())
}
