package cmd

import (
	"bufio"
	"bytes"
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestFilesPointDown: the files of package sim have the order that its documentation gives. What a file declares is used
// by files after it only, so that a reader who has read a file never has to come back to it.
func TestFilesPointDown(t *testing.T) {
	uses := fileUses(t, "../sim", "kvgauge/sim")
	order := regexp.MustCompile(`[a-z_]+\.go\b`).FindAllString(readFile(t, "../sim/doc.go"), -1)
	for f, of := range uses {
		at := slices.Index(order, f)
		if at < 0 && f != "doc.go" {
			t.Errorf("sim/doc.go does not name %s", f)
		}
		for o, name := range of {
			if slices.Index(order, o) > at {
				t.Errorf("%s uses %s of %s, which sim/doc.go has after it", f, name, o)
			}
		}
	}
}

// fileUses returns for each file of a package the other files whose identifiers it uses, with one of these, tests apart.
func fileUses(t *testing.T, dir, pkg string) map[string]map[string]string {
	t.Helper()
	fset := token.NewFileSet()
	var files []*ast.File
	paths, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		if !strings.HasSuffix(path, "_test.go") {
			f, err := parser.ParseFile(fset, path, nil, 0)
			if err != nil {
				t.Fatal(err)
			}
			files = append(files, f)
		}
	}
	info := &types.Info{Uses: map[*ast.Ident]types.Object{}}
	conf := types.Config{Importer: importer.ForCompiler(fset, "gc", exports(t, dir))}
	checked, err := conf.Check(pkg, fset, files, info)
	if err != nil {
		t.Fatal(err)
	}
	file := func(p token.Pos) string { return filepath.Base(fset.Position(p).Filename) }
	uses := map[string]map[string]string{}
	for _, f := range files {
		uses[file(f.Pos())] = map[string]string{}
	}
	for ident, object := range info.Uses {
		if from, to := file(ident.Pos()), file(object.Pos()); object.Pkg() == checked && from != to {
			uses[from][to] = object.Name()
		}
	}
	return uses
}

// exports finds the compiled form of what the package in dir imports.
func exports(t *testing.T, dir string) importer.Lookup {
	t.Helper()
	c := exec.Command("go", "list", "-export", "-deps", "-f", "{{.ImportPath}}\t{{.Export}}", ".")
	c.Dir = dir
	out, err := c.Output()
	if err != nil {
		t.Fatal(err)
	}
	of := map[string]string{}
	for lines := bufio.NewScanner(bytes.NewReader(out)); lines.Scan(); {
		path, file, _ := strings.Cut(lines.Text(), "\t")
		of[path] = file
	}
	return func(path string) (io.ReadCloser, error) {
		if of[path] == "" {
			return nil, fmt.Errorf("no export data of %s", path)
		}
		return os.Open(of[path])
	}
}
