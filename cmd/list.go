package cmd

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"kvgauge/sim/method"
	"kvgauge/sim/trace"
)

func newListCmd(s *system) *cobra.Command {
	return group(&cobra.Command{Use: "list", Short: "List methods or traces, with parameters, defaults and sources"},
		newListMethodsCmd(s), newListTracesCmd(s))
}

func newListMethodsCmd(s *system) *cobra.Command {
	var format string
	c := &cobra.Command{
		Use:     "methods",
		Short:   "List the methods: family, what it reduces, parameters with defaults, paper and code",
		Example: "  kvgauge list methods\n  kvgauge list methods --format json",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if format == "json" {
				return listMethodsJSON(s.out)
			}
			return listMethods(s.out)
		},
	}
	enumFlag(c, &format, "format", "table", []string{"table", "json"}, "")
	return c
}

// listMethods prints a paragraph a method.
func listMethods(out io.Writer) error {
	for _, i := range method.All() {
		fmt.Fprintf(out, "%s (%s, reduces %s)\n  %s\n", i.Name, i.Family, i.Reduces, i.Summary)
		w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
		for _, p := range i.Params {
			fmt.Fprintf(w, "    %s\t%s\t%s\t%s\n", p.Name, defaultOf(p), p.Range(), p.Help)
		}
		if err := w.Flush(); err != nil {
			return err
		}
		if i.Knob != "" {
			fmt.Fprintf(out, "  knob:  %s (--at-bytes)\n", i.Knob)
		}
		fmt.Fprintf(out, "  paper: %s\n", i.Paper)
		if i.Code != "" {
			fmt.Fprintf(out, "  code:  %s\n", i.Code)
		}
		fmt.Fprintln(out)
	}
	_, err := fmt.Fprintf(out, "sets: %s\n", strings.Join(method.Sets(), ", "))
	return err
}

// defaultOf shows a parameter's default, or what it depends on.
func defaultOf(p method.Param) string {
	if p.Default != "" {
		return p.Default
	}
	return "(" + p.Auto + ")"
}

// listMethodsJSON prints the registry for other programs.
func listMethodsJSON(out io.Writer) error {
	type param struct {
		Name    string `json:"name"`
		Default string `json:"default"`
		Auto    string `json:"auto,omitempty"`
		Values  string `json:"values"`
		Help    string `json:"help"`
	}
	type entry struct {
		Name    string  `json:"name"`
		Family  string  `json:"family"`
		Reduces string  `json:"reduces"`
		Summary string  `json:"summary"`
		Paper   string  `json:"paper"`
		Code    string  `json:"code,omitempty"`
		Knob    string  `json:"knob,omitempty"`
		Params  []param `json:"params"`
	}
	var entries []entry
	for _, i := range method.All() {
		e := entry{i.Name, string(i.Family), i.Reduces, i.Summary, i.Paper, i.Code, i.Knob, []param{}}
		for _, p := range i.Params {
			e.Params = append(e.Params, param{p.Name, p.Default, p.Auto, p.Range(), p.Help})
		}
		entries = append(entries, e)
	}
	enc := json.NewEncoder(out)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(entries)
}

func newListTracesCmd(s *system) *cobra.Command {
	return &cobra.Command{
		Use:   "traces",
		Short: "List the built-in traces and the parameters of the synthetic one",
		Args:  cobra.NoArgs,
		RunE:  func(*cobra.Command, []string) error { return listTraces(s.out) },
	}
}

// listTraces prints a line a built-in trace, then the parameters of synth.
func listTraces(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, b := range trace.Builtins() {
		fmt.Fprintf(w, "%s\t%s\n", b.Name, b.Summary)
	}
	fmt.Fprintf(w, "synth\tthe synthetic trace; synth:key=value,... sets its parameters:\n")
	for _, p := range trace.SynthParams() {
		fmt.Fprintf(w, "  %s\t%s\t%s\n", p.Name, p.Default, p.Help)
	}
	return w.Flush()
}
