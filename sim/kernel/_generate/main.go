// The program writes the assembly of package kernel: run it by `go generate ./sim/kernel`. It is a module of
// its own, so that the assembler library is no dependency of kvgauge.
//
// Each kernel is written once and emitted for AVX2 with FMA and F16C (16 registers of 8 floats) and for
// AVX-512 (32 registers of 16): set.go holds what differs, load.go how each storage format becomes floats in
// a register. The other files hold one kernel each, with its registers and its loop in a comment.
package main

import (
	"bytes"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/pass"
	"github.com/mmcloughlin/avo/printer"
)

func main() {
	log.SetFlags(0)
	if len(os.Args) != 2 {
		log.Fatal("usage: generate DIRECTORY")
	}
	for _, s := range sets {
		for _, file := range []struct {
			name, holds string
			emit        func(*gen)
		}{
			{"attend_dots", "dot products of queries with rows", dots},
			{"attend_expand", "decoding of rows that many heads read", expand},
			{"attend_lookup", "decoding of packed codes", lookUp},
			{"attend_scaleprobs", "probabilities times the scales of Int4", scaleProbs},
			{"attend_weightedsum", "weighted sums of rows", weightedSum},
			{"attend_softmax", "the online softmax", onlineSoftmax},
			{"attend_probabilities", "sums of probabilities over queries", sumProbabilities},
			{"vector", "single vectors, and their conversion from and to binary16", vector},
			{"codes", "codes of values", codes},
			{"exact", "the float64 reference", exact},
			{"linear", "products of activations with weights", linear},
			{"matrix", "products of float64 matrices", matrix},
			{"roofline", "loads and multiply-adds at full speed", roofline},
		} {
			if err := write(os.Args[1], file.name, file.holds, s, file.emit); err != nil {
				log.Fatal(err)
			}
		}
	}
}

// write emits NAME_SET_amd64.s and the Go declarations beside it, with a line on what they hold.
func write(dir, name, holds string, s set, emit func(*gen)) error {
	g := &gen{Context: build.NewContext(), set: s, tables: map[string]operand.Mem{}}
	g.ConstraintExpr("amd64,!purego")
	emit(g)
	f, err := g.Result()
	if err != nil {
		return err
	}
	if err := pass.Compile.Execute(f); err != nil {
		return err
	}
	base := filepath.Join(dir, name+"_"+s.name+"_amd64")
	cfg := printer.Config{Argv: []string{"go", "generate"}, Pkg: "kernel"}
	for ext, p := range map[string]printer.Printer{".s": printer.NewGoAsm(cfg), ".go": printer.NewStubs(cfg)} {
		text, err := p.Print(f)
		if err != nil {
			return fmt.Errorf("%s: %w", base+ext, err)
		}
		text = append(bytes.TrimRight(text, "\n"), '\n')
		clause := []byte("package kernel\n")
		text = bytes.Replace(text, clause, append(clause, "\n// Assembly: "+holds+".\n"...), 1)
		if err := os.WriteFile(base+ext, text, 0o644); err != nil {
			return err
		}
	}
	return nil
}
