package trace

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// containers holds the digits of small, as the libraries themselves write them: see containers.py there.
const containers = "../../testdata/containers/"

func TestContainersOfLibraries(t *testing.T) {
	for _, name := range []string{
		"scalars.npz", "bfloat16.npz", "fortran.npz", "big-endian.npz", "float64.npz", "fortran-big-endian-float64.npz",
		"version3", "bits", "float64.safetensors", "torch.safetensors", "equal-keys.safetensors", "keys-of-two-values.safetensors",
	} {
		t.Run(name, func(t *testing.T) {
			tr := open(t, containers+name, Options{})
			for _, layer := range []int{2, 5} {
				a := tr.At(layer)
				if a.Scale != 0.25 || a.Rope.Theta != 10000 || a.Window != map[int]int{5: 3}[layer] {
					t.Errorf("layer %d: %+v", layer, a)
				}
				checkDigits(t, tr, layer)
				l, err := tr.Read(layer, 5, 3) // the beginning of rows, and the middle of queries
				if err != nil {
					t.Fatal(err)
				}
				whole := checkLayer(t, tr, layer, tr.Tokens)
				if !slices.Equal(l.Q[3], whole.Q[3][4:12]) || !slices.Equal(l.V[1], whole.V[1][:20]) {
					t.Errorf("layer %d: 5 tokens from query 3: %v", layer, l)
				}
			}
			var want []string
			if name == "keys-of-two-values.safetensors" {
				want = []string{"metadata field scale: comes more than once, 4 ignored"}
			}
			if !slices.Equal(tr.Unknown, want) {
				t.Errorf("ignored %q, want %q", tr.Unknown, want)
			}
		})
	}
}

func TestContainersRefused(t *testing.T) {
	for name, want := range map[string]string{
		"null-metadata.safetensors": "metadata field format: missing, want kvgauge-trace",
		"bfloat16-undeclared.npz":   "tensor layers.2.k: dtype <V2, want metadata field dtype=bfloat16 where it is that, or f2, f4 or f8",
		"float8.npz":                "tensor layers.2.k: dtype <f1, want f2, f4 or f8, such as x.astype(numpy.float32)",
		"objects.npz":               "tensor layers.2.k: dtype |O, want f2, f4 or f8, such as x.astype(numpy.float32)",
		"checkpoint.pt":             "a PyTorch file of torch.save, not of safetensors.torch.save_file, want a safetensors file",
		"legacy.pt":                 "a PyTorch file of torch.save, not of safetensors.torch.save_file, want a safetensors file",
		"arrays.pkl":                "a pickle, want a safetensors file",
		"containers.py":             "a text, want a safetensors file",
	} {
		path := filepath.Join(filepath.FromSlash(containers), name)
		if _, err := Open(path, Options{}); err == nil || err.Error() != "trace "+path+": "+want {
			t.Errorf("%s: %v, want %s", name, err, want)
		}
	}
}

// What is carried along or written again is what was read.
func TestConvertedIsWritten(t *testing.T) {
	for _, name := range []string{"bfloat16.npz", "fortran-big-endian-float64.npz"} {
		path := filepath.Join(t.TempDir(), "again.safetensors")
		if err := Write(t.Context(), path, open(t, containers+name, Options{}), "F16", nil); err != nil {
			t.Fatal(err)
		}
		tr := open(t, path, Options{})
		checkDigits(t, tr, 5)
		if len(tr.Unknown) > 0 || strings.Join(tr.src.(*container).carried(), " ") != "" {
			t.Errorf("%s: %q beside the trace", name, tr.Unknown)
		}
	}
}
