package cmd

import (
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"kvgauge/sim/method"
)

// below lists, for each package, the packages of the module that it may import: arrows point down.
var below = map[string][]string{
	"kvgauge":                     {"kvgauge/cmd"},
	"kvgauge/cmd":                 {"kvgauge/report", "kvgauge/sim", "kvgauge/sim/arch", "kvgauge/sim/engine", "kvgauge/sim/kernel", "kvgauge/sim/method", "kvgauge/sim/model", "kvgauge/sim/model/tokenizer", "kvgauge/sim/offer", "kvgauge/sim/record", "kvgauge/sim/trace", "kvgauge/sim/trace/stats"},
	"kvgauge/report":              {"kvgauge/sim/arch", "kvgauge/sim/offer", "kvgauge/sim/record", "kvgauge/sim/trace", "kvgauge/sim/trace/stats"},
	"kvgauge/sim/offer":           {"kvgauge/sim/method", "kvgauge/sim/record"},
	"kvgauge/sim":                 {"kvgauge/sim/arch", "kvgauge/sim/cache", "kvgauge/sim/engine", "kvgauge/sim/gguf", "kvgauge/sim/kernel", "kvgauge/sim/method", "kvgauge/sim/record", "kvgauge/sim/trace"},
	"kvgauge/sim/method":          {"kvgauge/sim/cache", "kvgauge/sim/kernel", "kvgauge/sim/record", "kvgauge/sim/spectral"},
	"kvgauge/sim/cache":           {"kvgauge/sim/kernel"},
	"kvgauge/sim/model":           {"kvgauge/sim/cache", "kvgauge/sim/kernel", "kvgauge/sim/record", "kvgauge/sim/trace"},
	"kvgauge/sim/model/tokenizer": {"kvgauge/sim/record"},
	"kvgauge/sim/trace":           {"kvgauge/sim/kernel", "kvgauge/sim/record"},
	"kvgauge/sim/trace/stats":     {"kvgauge/sim/kernel", "kvgauge/sim/record", "kvgauge/sim/spectral", "kvgauge/sim/trace"},
	"kvgauge/sim/record":          {"kvgauge/sim/kernel"},
	"kvgauge/sim/spectral":        {"kvgauge/sim/kernel"},
	"kvgauge/sim/engine":          {"kvgauge/sim/arch"},
	"kvgauge/sim/gguf":            {"kvgauge/sim/arch", "kvgauge/sim/record"},
	"kvgauge/sim/arch":            {"kvgauge/sim/record"},
	"kvgauge/sim/kernel":          {},
}

// sources calls visit for every Go file of the module's own packages, tests apart.
func sources(t *testing.T, visit func(pkg, path string)) {
	t.Helper()
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && path != ".." && strings.HasPrefix(d.Name(), ".") || d.IsDir() && strings.HasPrefix(d.Name(), "_"):
			return fs.SkipDir
		case d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go"):
			return nil
		}
		dir := filepath.ToSlash(filepath.Dir(path))
		visit("kvgauge"+strings.TrimPrefix(dir, ".."), path)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestImportsPointDown(t *testing.T) {
	seen := map[string]bool{}
	sources(t, func(pkg, path string) {
		seen[pkg] = true
		allowed, known := below[pkg]
		if !known {
			t.Errorf("%s: package %s has no place in the order of packages", path, pkg)
			return
		}
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
		if err != nil {
			t.Error(err)
			return
		}
		for _, i := range f.Imports {
			to, _ := strconv.Unquote(i.Path.Value)
			if strings.HasPrefix(to, "kvgauge") && !slices.Contains(allowed, to) {
				t.Errorf("%s imports %s, which is not below %s", path, to, pkg)
			}
		}
	})
	if len(seen) != len(below) {
		t.Errorf("found the packages %v, want those of the list", seen)
	}
}

// TestOnlyMethodsNameMethods: outside sim/method no code names a method, so that adding one is one file.
// Help texts may, within longer strings; the kernel's formats are called what they are.
func TestOnlyMethodsNameMethods(t *testing.T) {
	var names []string
	for _, i := range method.All() {
		// full is the reference that everything is compared with, oracle and random are words of their own.
		if i.Family != method.Baseline && i.Family != method.Bound {
			names = append(names, regexp.QuoteMeta(i.Name))
		}
	}
	pattern := regexp.MustCompile(`"(` + strings.Join(names, "|") + `)[":]`)
	sources(t, func(pkg, path string) {
		if pkg == "kvgauge/sim/method" || pkg == "kvgauge/sim/kernel" {
			return
		}
		src := readFile(t, path)
		for i, line := range strings.Split(src, "\n") {
			if m := pattern.FindString(line); m != "" {
				t.Errorf("%s:%d names the method %s", path, i+1, m)
			}
		}
	})
}
