package model

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// FuzzConfig: a configuration is refused in one line, or says what a pass can go by.
func FuzzConfig(f *testing.F) {
	for _, name := range folders(f) {
		text, err := os.ReadFile(filepath.Join(checkpoints, name, "config.json"))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Add([]byte(`{"model_type":"gemma3","text_config":{"hidden_size":8,"intermediate_size":8,"num_hidden_layers":2}}`))
	f.Add([]byte(`{"model_type":"llama","num_hidden_layers":1e9}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		c, err := parseConfig(text)
		if err != nil {
			oneLine(t, err)
			return
		}
		if len(c.Window) != c.Layers || len(c.RopeOf) != c.Layers || c.Layers > maxLayers || c.QHeads%c.KVHeads != 0 {
			t.Fatalf("%+v", c)
		}
		for _, kind := range c.RopeOf {
			if kind >= len(c.Ropes) {
				t.Fatalf("%+v", c)
			}
		}
		for i := range c.Ropes {
			if inv, _ := c.Ropes[i].Frequencies(100); 2*len(inv) != c.Ropes[i].Dims || c.Ropes[i].Dims > c.HeadDim {
				t.Fatalf("%+v: %d frequencies", c.Ropes[i], len(inv))
			}
		}
	})
}

// oneLine wants what can be printed.
func oneLine(t *testing.T, err error) {
	t.Helper()
	if text := err.Error(); text == "" || strings.ContainsAny(text, "\n\r\x1b") {
		t.Fatalf("error %q, want one line", text)
	}
}

// FuzzIndex: the shards of an index are files of the same folder.
func FuzzIndex(f *testing.F) {
	text, err := os.ReadFile(filepath.Join(checkpoints, "llama_shards", indexFile))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add([]byte(`{"weight_map":{"a":"../b"}}`))
	f.Add([]byte(`{"weight_map":null}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		of, err := parseIndex(text)
		if err != nil {
			oneLine(t, err)
		}
		for shard, names := range of {
			if filepath.Dir(filepath.Join("d", shard)) != "d" || len(names) == 0 {
				t.Fatalf("shard %q of %q", shard, names)
			}
		}
	})
}

// FuzzLlama2C: what opens is a file whose tensors fill it, and a pass over one token does not leave it.
func FuzzLlama2C(f *testing.F) {
	m := openModel(f, filepath.Join(checkpoints, "llama"))
	whole := llama2COf(f, m)
	f.Add(whole)
	f.Add(whole[:30])
	f.Add(putInt(bytes.Clone(whole), 1, 1<<22))
	f.Fuzz(func(t *testing.T, file []byte) {
		m, err := readLlama2C(bytes.NewReader(file), int64(len(file)))
		if err == nil {
			err = m.checkTensors()
		}
		if err != nil {
			oneLine(t, err)
			return
		}
		p, err := m.Prefill([]int32{0}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := p.Next(t.Context()); err != nil {
			t.Fatal(err)
		}
	})
}
