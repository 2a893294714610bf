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
	"kvgauge/sim/record"
)

func newListModelsCmd(s *system) *cobra.Command {
	var format string
	c := &cobra.Command{
		Use:   "models [NAME...]",
		Short: "List the models that come with the program: their configurations' fields and where these were published",
		Long: `The models that come with the program, for kvgauge plan --model NAME: the fields of the published
configuration that a cache follows from. Any other configuration in Hugging Face's form can be planned from its
file, if its model_type is one of those named last.`,
		Example: "  kvgauge list models\n  kvgauge list models llama-3-8b\n  kvgauge list models llama-3-8b --format json | jq '.[].config' > config.json",
		RunE: func(_ *cobra.Command, names []string) error {
			presets, err := presetsOf(names)
			if err != nil {
				return err
			}
			if format == "json" {
				return listModelsJSON(s.out, presets)
			}
			return listModels(s.out, presets, len(names) == 0)
		},
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			names, _ := completeModels(nil, nil, "")
			return names, cobra.ShellCompDirectiveNoFileComp
		},
	}
	enumFlag(c, &format, "format", "table", []string{"table", "json"}, "")
	return c
}

// presetsOf are the presets of some names, or all.
func presetsOf(names []string) ([]arch.Preset, error) {
	if len(names) == 0 {
		return arch.Presets(), nil
	}
	var presets []arch.Preset
	for _, name := range unique(names) {
		p, err := arch.Find(name)
		if err != nil {
			return nil, record.Input(err)
		}
		presets = append(presets, p)
	}
	return presets, nil
}

// listModels prints a paragraph a model, and where all are listed the types of configurations that can be read.
func listModels(out io.Writer, presets []arch.Preset, all bool) error {
	for i, p := range presets {
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
		if i > 0 {
			fmt.Fprintln(out)
		}
		fmt.Fprintf(out, "%s (%s, %s%s)\n  fields: %s\n  source: %s\n", p.Name, m.Type, record.Count(len(m.Layers), "layer", ""), weights, fields, p.Source)
	}
	if !all {
		return nil
	}
	_, err := fmt.Fprintf(out, "\nmodel types that can be read: %s\n", strings.Join(arch.Types(), ", "))
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
func listModelsJSON(out io.Writer, presets []arch.Preset) error {
	enc := json.NewEncoder(out)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(presets)
}
