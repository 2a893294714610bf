package trace

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestOpenNames(t *testing.T) {
	meta, arrays := small("F32")
	file := safetensorsOf(meta, arrays)
	t.Chdir(t.TempDir())
	for _, path := range []string{"smollm2", "capture.safetensors", "capture.v1.SAFETENSORS", "bare.bin", "sub/trace.safetensors", "trace.d/x"} {
		if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, file, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	tests := []struct {
		spec, name, model string
	}{
		{"smollm2", "smollm2", "SmolLM2-135M-Instruct"}, // the built-in one
		{"./smollm2", "smollm2", "m"},
		{"capture.safetensors", "capture", "m"},
		{"capture.v1.SAFETENSORS", "capture.v1", "m"},
		{"bare.bin", "bare.bin", "m"},
		{"sub/../sub/trace.safetensors", "trace", "m"},
		{"trace.d/x", "x", "m"},
	}
	for _, tt := range tests {
		if tr := open(t, tt.spec, Options{}); tr.Name != tt.name || tr.Model != tt.model {
			t.Errorf("%s: trace %s of model %s, want %s of %s", tt.spec, tr.Name, tr.Model, tt.name, tt.model)
		}
	}
}

// What looks like a model is no trace, and the error says how to make one of it. Other names stay without advice.
func TestOpenModels(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.MkdirAll("my/model", 0o777); err != nil {
		t.Fatal(err)
	}
	meta, arrays := small("F32")
	delete(meta, "format")
	for path, data := range map[string][]byte{"my/model/config.json": []byte("{}"), "my/model/model.safetensors": safetensorsOf(meta, arrays), "lone.safetensors": safetensorsOf(meta, arrays)} {
		if err := os.WriteFile(path, data, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	for spec, folder := range map[string]string{
		"Llama-3-8B": "FOLDER", "Qwen/Qwen3-0.6B": "FOLDER", "gpt2": "FOLDER", "acme/thing-7b-chat": "FOLDER", "phi-2": "FOLDER",
		"my/model": "my/model", "my/model/model.safetensors": "my/model",
	} {
		_, err := Open(spec, Options{})
		python := spec
		if folder != "FOLDER" {
			python = folder
		}
		if err == nil || !strings.Contains(err.Error(), "kvgauge trace capture --model "+folder+",") || !strings.Contains(err.Error(), "hook.py --model "+python+" ") {
			t.Errorf("%s: %v, want how to make a trace of %s", spec, err, python)
		}
	}
	for _, spec := range []string{"optimal", "llama.safetensors", "qwen.npz", "my", "lone.safetensors", "b7", "run-3"} {
		if _, err := Open(spec, Options{}); err == nil || strings.Contains(err.Error(), "capture") {
			t.Errorf("%s: %v, want no advice", spec, err)
		}
	}
}

// A folder is called like itself, also where it is opened from within.
func TestOpenFolderNames(t *testing.T) {
	meta, arrays := small("F32")
	t.Chdir(writeFolder(t, filesOf(meta, arrays)))
	for _, spec := range []string{".", "./", "../captured", "../captured/"} {
		if tr := open(t, spec, Options{}); tr.Name != "captured" {
			t.Errorf("%s is called %s, want captured", spec, tr.Name)
		}
	}
}

func TestOpenRefused(t *testing.T) {
	t.Chdir(t.TempDir())
	meta, arrays := small("F32")
	arrays["layers.5.k"] = rowsOf("layers.5.k", "F32", 0, 6, 2, 8)
	for path, data := range map[string][]byte{
		"bad.safetensors":      safetensorsOf(meta, arrays),
		"empty.safetensors":    nil,
		"other.npz":            []byte("something else"),
		"one.npy":              npyOf(arrays["layers.2.k"]),
		"folder/notes.txt":     nil,
		"folder/loss.npy":      npyOf(floats(1)),
		"odd/layers.0.q.npy/x": nil,
	} {
		if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, data, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir("none", 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir("dangling", 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("nowhere", "dangling/layers.0.q.npy"); err != nil {
		t.Skip(err)
	}
	tests := []struct{ spec, want string }{
		{"nowhere.safetensors", "nowhere.safetensors: no such file or built-in trace (kvgauge list traces)"},
		{"smolm2", "smolm2: no such file or built-in trace, did you mean smollm2? (kvgauge list traces)"},
		{"bytelm-clib", "bytelm-clib: no such file or built-in trace, did you mean bytelm-calib? (kvgauge list traces)"},
		{"sinth", "sinth: no such file or built-in trace, did you mean synth? (kvgauge list traces)"},
		{"no/where", "no/where: no such file or built-in trace (kvgauge list traces)"},
		{"", `"": no such file or built-in trace (kvgauge list traces)`},
		{"one.npy/x", "trace one.npy/x: not a directory"},
		{"bad.safetensors", "trace bad.safetensors: tensor layers.5.k: shape [6 2 8], want [6 2 4]"},
		{"empty.safetensors", "trace empty.safetensors: 0 bytes, want a safetensors file"},
		{"other.npz", "trace other.npz: a text, want an npz archive"},
		{"one.npy", "trace one.npy: one array, want the folder of the npy files, an npz or a safetensors file"},
		{"folder", "trace folder: holds no trace, want layers.N.q.npy, layers.N.k.npy and layers.N.v.npy of each layer"},
		{"none", "trace none: holds no trace, want layers.N.q.npy, layers.N.k.npy and layers.N.v.npy of each layer"},
		{"odd", "trace odd: file layers.0.q.npy: not a regular file"},
		{"dangling", "trace dangling: file layers.0.q.npy: no such file or directory"},
		{os.DevNull, "trace " + os.DevNull + ": not a regular file"},
	}
	for _, tt := range tests {
		if _, err := Open(tt.spec, Options{}); err == nil || err.Error() != tt.want {
			t.Errorf("%q: %v, want %s", tt.spec, err, tt.want)
		}
	}
}
