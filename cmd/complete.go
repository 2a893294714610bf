package cmd

import (
	"strings"

	"github.com/spf13/cobra"

	"kvgauge/sim/method"
	"kvgauge/sim/trace"
)

// completeValues offers fixed values for a flag.
func completeValues(c *cobra.Command, flag string, values ...string) {
	_ = c.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp))
}

// completeMethods offers method and set names, and after a colon the parameters of the method.
func completeMethods(_ *cobra.Command, _ []string, typed string) ([]string, cobra.ShellCompDirective) {
	at := strings.LastIndexAny(typed, ",+") + 1
	if colon := strings.LastIndex(typed, ":"); colon > strings.LastIndex(typed, "+") {
		return completeParams(typed, colon)
	}
	var out []string
	for _, i := range method.All() {
		out = append(out, typed[:at]+i.Name+"\t"+i.Summary)
	}
	for _, set := range method.Sets() {
		out = append(out, typed[:at]+set+"\tset of methods")
	}
	return out, cobra.ShellCompDirectiveNoSpace | cobra.ShellCompDirectiveNoFileComp
}

// completeParams offers key=value for the method whose colon stands at the given byte.
func completeParams(typed string, colon int) ([]string, cobra.ShellCompDirective) {
	name := typed[strings.LastIndexAny(typed[:colon], ",+")+1 : colon]
	info, _ := method.Lookup(name)
	at := max(colon, strings.LastIndex(typed, ",")) + 1
	var out []string
	for _, p := range info.Params {
		values := p.Choices
		if len(values) == 0 {
			values = []string{p.Default}
		}
		for _, v := range values {
			out = append(out, typed[:at]+p.Name+"="+v+"\t"+p.Help)
		}
	}
	return out, cobra.ShellCompDirectiveNoSpace | cobra.ShellCompDirectiveNoFileComp
}

// completeTraces offers the built-in traces beside files.
func completeTraces(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	out := []string{"synth\tthe synthetic trace"}
	for _, b := range trace.Builtins() {
		out = append(out, b.Name+"\t"+b.Summary)
	}
	return out, cobra.ShellCompDirectiveDefault
}
