package trace

import "testing"

// openTest opens a trace and closes it with the test.
func openTest(t testing.TB, spec string) *Trace {
	t.Helper()
	tr, err := Open(spec, Options{Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := tr.Close(); err != nil {
			t.Error(err)
		}
	})
	return tr
}

// checkLayer reads the first tokens rows of a layer and checks the lengths of all heads.
func checkLayer(t testing.TB, tr *Trace, layer, tokens int) *Layer {
	t.Helper()
	l, err := tr.Read(layer, tokens)
	if err != nil {
		t.Fatal(err)
	}
	if l.FirstQuery != tr.FirstQuery() {
		t.Fatalf("first query %d, want %d", l.FirstQuery, tr.FirstQuery())
	}
	check := func(what string, heads [][]float32, n, rows int) {
		if len(heads) != n {
			t.Fatalf("%d heads of %s, want %d", len(heads), what, n)
		}
		for h := range heads {
			if len(heads[h]) != rows*tr.HeadDim {
				t.Fatalf("%s head %d: %d values, want %d rows", what, h, len(heads[h]), rows)
			}
		}
	}
	check("k", l.K, tr.KVHeads, tokens)
	check("v", l.V, tr.KVHeads, tokens)
	check("q", l.Q, tr.QHeads, max(0, tokens-tr.FirstQuery()))
	return l
}
