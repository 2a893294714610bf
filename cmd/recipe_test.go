package cmd

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"go.yaml.in/yaml/v4"
)

// githubWorkflow is what GitHub Actions reads of a workflow, as far as the recipe uses it.
type githubWorkflow struct {
	Name        string            `yaml:"name"`
	On          string            `yaml:"on"`
	Permissions map[string]string `yaml:"permissions"`
	Jobs        map[string]struct {
		RunsOn  string            `yaml:"runs-on"`
		Timeout int               `yaml:"timeout-minutes"`
		Env     map[string]string `yaml:"env"`
		Steps   []struct {
			Name string            `yaml:"name"`
			Uses string            `yaml:"uses"`
			If   string            `yaml:"if"`
			With map[string]any    `yaml:"with"`
			Env  map[string]string `yaml:"env"`
			Run  string            `yaml:"run"`
		} `yaml:"steps"`
	} `yaml:"jobs"`
}

// gitlabJob is what GitLab reads of a job, as far as the recipe uses it.
type gitlabJob struct {
	Image     string              `yaml:"image"`
	Rules     []map[string]string `yaml:"rules"`
	Variables map[string]string   `yaml:"variables"`
	Before    []string            `yaml:"before_script"`
	Script    []string            `yaml:"script"`
	Artifacts struct {
		When    string              `yaml:"when"`
		Paths   []string            `yaml:"paths"`
		Reports map[string][]string `yaml:"reports"`
	} `yaml:"artifacts"`
}

// readRecipe reads a recipe; a key that the shape lacks is an error.
func readRecipe(name string, shape any) error {
	data, err := os.ReadFile(filepath.Join("..", "testdata", "recipes", name))
	if err != nil {
		return err
	}
	return yaml.Load(data, shape, yaml.WithKnownFields())
}

// recipe NAME FILE writes the commands of a recipe that measure and compare as a shell script, which fails
// as the CI server would.
func recipe(ts *testscript.TestScript, _ bool, args []string) {
	lines := []string{"set -e"}
	switch args[0] {
	case "github":
		var w githubWorkflow
		ts.Check(readRecipe("github.yml", &w))
		for _, step := range w.Jobs["compare"].Steps {
			if step.Run != "" && !strings.HasPrefix(step.Name, "Build") {
				lines = append(lines, step.Run)
			}
		}
	case "gitlab":
		var jobs map[string]gitlabJob
		ts.Check(readRecipe("gitlab.yml", &jobs))
		lines = append(lines, jobs["kvgauge"].Script...)
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), []byte(strings.Join(lines, "\n")), 0o666))
}

// TestRecipeSweeps lays out the cells that the recipes ask for: their flags and names exist.
func TestRecipeSweeps(t *testing.T) {
	var w githubWorkflow
	if err := readRecipe("github.yml", &w); err != nil {
		t.Fatal(err)
	}
	var jobs map[string]gitlabJob
	if err := readRecipe("gitlab.yml", &jobs); err != nil {
		t.Fatal(err)
	}
	for _, env := range []map[string]string{w.Jobs["compare"].Env, jobs["kvgauge"].Variables} {
		for _, name := range []string{"SWEEP", "TIMED"} {
			args := append([]string{"run", "--dry-run"}, strings.Fields(env[name])...)
			s := &system{args: args, out: &strings.Builder{}, err: &strings.Builder{}, now: time.Now}
			if code := execute(t.Context(), s); code != exitOK {
				t.Errorf("%s: exit code %d: %s", env[name], code, s.err)
			}
		}
	}
}
