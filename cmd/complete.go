package cmd

import (
	"strings"

	"github.com/spf13/cobra"

	"kvgauge/sim/method"
	"kvgauge/sim/record"
	"kvgauge/sim/trace"
)

// completeMethods offers method and set names, and after a colon the parameters of the method. A comma may continue
// the parameters or begin another pipeline: what is offered is what could stand there.
func completeMethods(_ *cobra.Command, _ []string, typed string) ([]string, cobra.ShellCompDirective) {
	pipelines := record.SplitPipelines(typed)
	stages := record.ParsePipeline(pipelines[len(pipelines)-1])
	last := stages[len(stages)-1]
	word, of := last.Method, last // what is completed, and whose parameters it would be
	params, methods := false, true
	if n := len(last.Params); n > 0 {
		word, params, methods = string(last.Params[n-1]), true, false
	} else if len(stages) == 1 && len(pipelines) > 1 {
		before := record.ParsePipeline(pipelines[len(pipelines)-2])
		of = before[len(before)-1]
		params = of.Params != nil
	}
	head := strings.TrimSuffix(typed, word)
	var out []string
	if methods {
		for _, i := range method.All() {
			out = append(out, head+i.Name+"\t"+i.Summary)
		}
		for _, set := range method.Sets() {
			out = append(out, head+set+"\tset of methods")
		}
	}
	if params {
		for _, p := range method.ParamsOf(of) {
			values := p.Values()
			if len(values) == 0 {
				values = []string{p.Default}
			}
			for _, v := range values {
				out = append(out, head+p.Name+"="+v+"\t"+p.Help)
			}
		}
	}
	return out, cobra.ShellCompDirectiveNoSpace | cobra.ShellCompDirectiveNoFileComp
}

// completeTraces offers the built-in traces beside files, and after synth: its parameters.
func completeTraces(_ *cobra.Command, _ []string, typed string) ([]string, cobra.ShellCompDirective) {
	if strings.HasPrefix(typed, "synth:") {
		head := typed[:strings.LastIndexAny(typed, ":,")+1]
		var out []string
		for _, p := range trace.SynthParams() {
			out = append(out, head+p.Name+"="+p.Default+"\t"+p.Help)
		}
		return out, cobra.ShellCompDirectiveNoSpace | cobra.ShellCompDirectiveNoFileComp
	}
	out := []string{"synth\tthe synthetic trace"}
	for _, b := range trace.Builtins() {
		out = append(out, b.Name+"\t"+b.Summary)
	}
	return out, cobra.ShellCompDirectiveDefault
}

// completeBudgets offers usual budgets, of a list its next item.
func completeBudgets(_ *cobra.Command, _ []string, typed string) ([]string, cobra.ShellCompDirective) {
	head := typed[:strings.LastIndexByte(typed, ',')+1]
	var out []string
	for _, b := range []string{"12%", "25%", "50%", "128", "1k"} {
		out = append(out, head+b)
	}
	return out, cobra.ShellCompDirectiveNoSpace | cobra.ShellCompDirectiveNoFileComp
}
