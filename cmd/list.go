package cmd

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/olekukonko/tablewriter/pkg/twwarp"
	"github.com/spf13/cobra"

	"kvgauge/sim/method"
	"kvgauge/sim/record"
	"kvgauge/sim/trace"
)

func newListCmd(s *system) *cobra.Command {
	return group(&cobra.Command{Use: "list", Short: "List methods, models or traces, with parameters, defaults and sources"},
		newListMethodsCmd(s), newListModelsCmd(s), newListTracesCmd(s))
}

func newListMethodsCmd(s *system) *cobra.Command {
	var format, family string
	c := &cobra.Command{
		Use:     "methods [NAME...]",
		Short:   "List the methods: family, what it reduces, parameters with defaults, paper and code",
		Example: "  kvgauge list methods\n  kvgauge list methods snapkv h2o\n  kvgauge list methods --family eviction --format json",
		RunE: func(_ *cobra.Command, names []string) error {
			infos, err := selected(names, family)
			if err != nil {
				return err
			}
			if format == "json" {
				return listMethodsJSON(s.out, infos)
			}
			var b bytes.Buffer
			listMethods(&b, infos)
			if len(infos) == len(method.All()) {
				wrapped(&b, "", "sets: ", strings.Join(method.Sets(), ", "))
			}
			_, err = s.out.Write(b.Bytes())
			return err
		},
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			var out []string
			for _, i := range method.All() {
				out = append(out, i.Name+"\t"+i.Summary)
			}
			return out, cobra.ShellCompDirectiveNoFileComp
		},
	}
	enumFlag(c, &format, "format", "table", []string{"table", "json"}, "")
	c.Flags().StringVar(&family, "family", "", "methods of one `family` alone")
	_ = c.RegisterFlagCompletionFunc("family", cobra.FixedCompletions(familyNames(), cobra.ShellCompDirectiveNoFileComp))
	return c
}

// familyNames are those of the families that have methods.
func familyNames() []string {
	var names []string
	for _, i := range method.All() {
		names = append(names, string(i.Family))
	}
	return unique(names)
}

// selected are the methods of some names and a family, where any are given.
func selected(names []string, family string) ([]method.Info, error) {
	if family != "" && !slices.Contains(familyNames(), family) {
		return nil, wrong("family", family, "want one of %s%s", strings.Join(familyNames(), ", "), record.DidYouMean(family, familyNames()))
	}
	var known []string
	var infos []method.Info
	for _, i := range method.All() {
		known = append(known, i.Name)
		if (family == "" || string(i.Family) == family) && (len(names) == 0 || slices.Contains(names, i.Name)) {
			infos = append(infos, i)
		}
	}
	for _, name := range names {
		if !slices.Contains(known, name) {
			return nil, record.Input(fmt.Errorf("unknown method %q%s", name, record.DidYouMean(name, known)))
		}
	}
	return infos, nil
}

// listWidth is the most columns that a line of a list takes.
const listWidth = 100

// wrapped prints text with a label before its first line, indented lines after it.
func wrapped(out io.Writer, indent, label, text string) {
	lines, _ := twwarp.WrapString(text, listWidth-len(indent)-len(label))
	for i, line := range lines {
		if i > 0 {
			label = strings.Repeat(" ", len(label))
		}
		fmt.Fprintf(out, "%s%s%s\n", indent, label, line)
	}
}

// listMethods prints a paragraph a method.
func listMethods(out io.Writer, infos []method.Info) {
	for _, i := range infos {
		fmt.Fprintf(out, "%s (%s, reduces %s)\n", i.Name, i.Family, i.Reduces)
		wrapped(out, "  ", "", i.Summary)
		for _, p := range i.Params {
			wrapped(out, "    ", p.Name+"  ", defaultOf(p)+", "+strings.ReplaceAll(p.Range(), "|", " | "))
			wrapped(out, "      ", "", p.Help)
		}
		if i.Knob != "" {
			fmt.Fprintf(out, "  knob:  %s (--at-bytes)\n", i.Knob)
		}
		wrapped(out, "  ", "paper: ", i.Paper)
		if i.Code != "" {
			wrapped(out, "  ", "code:  ", i.Code)
		}
		fmt.Fprintln(out)
	}
}

// defaultOf shows a parameter's default, or what it depends on.
func defaultOf(p method.Param) string {
	if p.Default != "" {
		return p.Default
	}
	return "(" + p.Auto + ")"
}

// listMethodsJSON prints the registry for other programs.
func listMethodsJSON(out io.Writer, infos []method.Info) error {
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
	for _, i := range infos {
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
