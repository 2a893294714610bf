package cmd

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"path"
	"slices"
	"strings"
	"text/template"

	"github.com/spf13/pflag"

	"kvgauge/sim"
)

var (
	//go:embed print_slurm.tmpl
	slurmJob string
	//go:embed print_kubernetes.tmpl
	kubernetesJob string
)

// jobs are the engines that --print writes a job for.
var jobs = map[string]string{"slurm": slurmJob, "kubernetes": kubernetesJob}

// engines returns their names.
func engines() []string { return slices.Sorted(maps.Keys(jobs)) }

// defaultShards is the number of tasks where --shard does not say it.
const defaultShards = 4

// job is what the templates read.
type job struct {
	Flags   []string // of run, as given; those that the job sets itself apart
	Out     string
	Shards  int
	Threads int
	Memory  int64 // MiB of one task
	Timed   bool  // latency is measured
	Version string
}

// printJob prints a job that measures the plan in parts and merges them.
func printJob(s *system, f *runFlags, flags *pflag.FlagSet) error {
	o, in, err := f.options()
	if err != nil {
		return err
	}
	defer in.close()
	shards := defaultShards
	if o.Shard.Index > 0 {
		return wrong("shard", f.shard, "want 0/%d: a job has all parts", o.Shard.Count)
	}
	if o.Shard.Count > 0 {
		shards, o.Shard = o.Shard.Count, sim.Shard{}
	}
	allowed := o.MaxMemory
	if !flags.Changed("max-memory") { // this machine's does not matter
		allowed, o.MaxMemory = 0, math.MaxInt64
	}
	plan, err := sim.NewPlan(o)
	if err != nil {
		return err
	}
	heap, task := plan.TaskMemory(allowed, sim.Resident())
	j := job{
		Flags: append(given(flags), fmt.Sprintf("--max-memory=%dMiB", mib(heap))),
		Out:   path.Clean(f.out), Shards: shards, Threads: f.threads, Memory: mib(task), Timed: !f.noLatency, Version: release,
	}
	t, err := template.New(f.print).Funcs(template.FuncMap{
		"sh": shellWord, "json": jsonText, "doubled": doubled, "last": func(n int) int { return n - 1 },
		"upto": func(n int) []int {
			var is []int
			for i := range n {
				is = append(is, i)
			}
			return is
		},
	}).Parse(jobs[f.print])
	if err != nil {
		return err
	}
	return t.Execute(s.out, j)
}

// given are the flags of the command line that shape the records, in the form --name=value.
func given(flags *pflag.FlagSet) []string {
	var words []string
	flags.Visit(func(f *pflag.Flag) {
		if !decides(f, inJobs) {
			return
		}
		if f.Value.Type() == "bool" && f.Value.String() == "true" {
			words = append(words, "--"+f.Name)
			return
		}
		values := []string{f.Value.String()}
		if list, ok := f.Value.(pflag.SliceValue); ok {
			values = list.GetSlice()
		}
		for _, v := range values {
			words = append(words, "--"+f.Name+"="+v)
		}
	})
	return words
}

// mib is a size in MiB, rounded up.
func mib(bytes int64) int64 { return (bytes + 1<<20 - 1) >> 20 }

// doubled doubles a character, which is how Slurm's file name patterns and Kubernetes' arguments escape theirs.
func doubled(char, text string) string { return strings.ReplaceAll(text, char, char+char) }

// shellWord quotes a word for a POSIX shell where it needs to be.
func shellWord(w string) string {
	plain := strings.IndexFunc(w, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-_./=:,+%@", r))
	}) < 0
	if plain && w != "" {
		return w
	}
	return "'" + strings.ReplaceAll(w, "'", `'\''`) + "'"
}

// jsonText quotes a word for YAML, which reads JSON.
func jsonText(w string) (string, error) {
	b, err := json.Marshal(w)
	return string(b), err
}
