package model

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"kvgauge/sim/record"
)

// Model is an open checkpoint, whose weights are read when they are needed.
type Model struct {
	Config
	Name string // how tables call it: the folder's or file's base name
	Path string

	tensors *checkpoint
	prefix  string // of the names of its tensors
	head    string // the tensor that makes logits of hidden states
}

// Open opens a checkpoint folder of Hugging Face (config.json and safetensors, in shards or not) or a model of llama2.c (a
// .bin file). Configuration, names, shapes and types of tensors are checked here; the values of weights are not.
func Open(path string) (m *Model, err error) {
	defer func() {
		if err != nil {
			err = record.Input(fmt.Errorf("model %s: %w", printable(path), err))
		}
	}()
	info, err := os.Stat(path)
	if err != nil {
		return nil, cause(err)
	}
	switch ext := strings.ToLower(filepath.Ext(path)); {
	case info.IsDir():
		m, err = openFolder(path)
	case ext == ".bin":
		m, err = openLlama2C(path, info)
	case ext == ".gguf":
		return nil, errors.New("GGUF files are not read yet, want a checkpoint folder (config.json and safetensors) or a llama2.c .bin file")
	default:
		return nil, errors.New("want a checkpoint folder (config.json and safetensors) or a llama2.c .bin file")
	}
	if err != nil {
		return nil, err
	}
	if err := m.checkTensors(); err != nil {
		_ = m.Close() // only read
		return nil, err
	}
	m.Name, m.Path = baseName(path), path
	return m, nil
}

// openFolder reads the configuration, then the headers of the tensors' files.
func openFolder(dir string) (*Model, error) {
	text, err := readSmall(filepath.Join(dir, "config.json"), maxJSON)
	if err != nil {
		return nil, fmt.Errorf("config.json: %w", err)
	}
	c, err := parseConfig(text)
	if err != nil {
		return nil, fmt.Errorf("config.json: %w", err)
	}
	m := &Model{Config: *c}
	m.tensors, err = openCheckpoint(dir)
	return m, err
}

// baseName is the last part of a path, without .bin.
func baseName(path string) string {
	if abs, err := filepath.Abs(path); err == nil {
		path = abs
	}
	return strings.TrimSuffix(filepath.Base(path), ".bin")
}

// Close releases the files.
func (m *Model) Close() error { return m.tensors.Close() }
