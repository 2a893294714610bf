package sim

import (
	"encoding/json"
	"fmt"
	"maps"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"kvgauge/sim/record"
	"kvgauge/sim/trace"
)

// borrowed are a trace whose upper two layers read the keys and values of the lower two, the same trace with copies of them
// in place, and the lower two alone: made of a synthetic one, in which each layer has a soft cap of its own and two have
// windows.
func borrowed(t *testing.T) (with, copies, alone *trace.Trace) {
	t.Helper()
	dir := t.TempDir()
	whole := openTrace(t, "synth:layers=4,q_heads=4,kv_heads=4,head_dim=32,tokens=160")
	path := filepath.Join(dir, "whole.safetensors")
	if err := trace.Write(t.Context(), path, whole, "F32", nil); err != nil {
		t.Fatal(err)
	}
	open := func(name string, change func(f *safetensors, layers map[string]map[string]any)) *trace.Trace {
		f, layers := readSafetensors(t, path), map[string]map[string]any{}
		delete(f.meta, "needles")
		for i := range 4 {
			layers[fmt.Sprint(i)] = map[string]any{"softcap": 30 + i}
		}
		layers["0"]["window"], layers["2"]["window"] = 40, 24
		for upper, lower := range map[string]string{"2": "0", "3": "1"} {
			for _, kind := range []string{"k", "v"} {
				f.tensors["layers."+upper+"."+kind] = f.tensors["layers."+lower+"."+kind]
			}
		}
		change(f, layers)
		text, err := json.Marshal(layers)
		if err != nil {
			t.Fatal(err)
		}
		f.meta["version"], f.meta["layers"] = "2", string(text)
		out := filepath.Join(dir, name+".safetensors")
		f.write(t, out)
		return openTrace(t, out)
	}
	drop := func(f *safetensors, kinds ...string) {
		maps.DeleteFunc(f.tensors, func(name string, _ []byte) bool {
			upper := strings.HasPrefix(name, "layers.2.") || strings.HasPrefix(name, "layers.3.")
			return upper && slices.Contains(kinds, name[len(name)-1:])
		})
	}
	with = open("with", func(f *safetensors, layers map[string]map[string]any) {
		layers["2"]["kv_from"], layers["3"]["kv_from"] = 0, 1
		drop(f, "k", "v")
	})
	copies = open("copies", func(*safetensors, map[string]map[string]any) {})
	return with, copies, open("alone", func(f *safetensors, layers map[string]map[string]any) {
		delete(layers, "2")
		delete(layers, "3")
		drop(f, "q", "k", "v")
		f.meta["num_layers"] = "2"
	})
}

// TestBorrowedRows: layers that read the rows of others have the errors that they have with copies of them, bit for bit, and
// no bytes; what a pipeline keeps is what it keeps of the owners alone.
func TestBorrowedRows(t *testing.T) {
	with, copies, alone := borrowed(t)
	o := Options{Lengths: []int{160}, Decode: new(16), Kept: true, Threads: 2}
	lossy := []string{"snapkv:budget=40", "h2o:budget=40", "streamingllm:budget=40", "tova:budget=40", "rkv:budget=64,scope=all", "h2o:budget=20,scope=all", "scissorhands:budget=48+int8", "cake:budget=40", "pyramidkv:budget=40", "think"}
	same := []string{"full", "bf16", "int8", "q4_0:rotate=off", "kivi", "gqa:heads=2", "streamingllm:budget=40", "random:budget=40", "knorm:budget=40", "mla:rank=40", "mla:rank=40,rope=pre"}
	run := func(tr *trace.Trace, specs []string) []record.Record {
		o.Traces, o.Pipelines = headers(tr), parse(t, specs...)
		return runCells(t, o)
	}
	for i, specs := range [][]string{same, lossy} {
		owners, all := run(alone, specs), run(copies, specs)
		for n, rec := range run(with, specs) {
			if rec.Status != record.OK {
				t.Errorf("%s: %s %s", rec.Pipeline, rec.Status, rec.Reason)
				continue
			}
			own := owners[n]
			bytes := func(r record.Record) [5]int64 {
				return [5]int64{*r.CacheBytes, *r.CacheBytesFull, *r.PeakBytes, *r.PagedBytes, *r.MetadataBytes}
			}
			if got, want := bytes(rec), bytes(own); got != want {
				t.Errorf("%s: cache, full, peak, pages and metadata of %d bytes, want %d of the owners alone", rec.Pipeline, got, want)
			}
			if *rec.TrafficBytes <= *own.TrafficBytes || *rec.ChangedLayers != 2**own.ChangedLayers {
				t.Errorf("%s: reads %d bytes in all layers, %d in owners; changes %d and %d", rec.Pipeline, *rec.TrafficBytes, *own.TrafficBytes, *rec.ChangedLayers, *own.ChangedLayers)
			}
			if len(rec.Kept) != 4 || !reflect.DeepEqual(rec.Kept[2:], rec.Kept[:2]) || !reflect.DeepEqual(rec.KeptFinal[2:], rec.KeptFinal[:2]) {
				t.Errorf("%s: layers that borrow keep other rows than their owners", rec.Pipeline)
			}
			if !reflect.DeepEqual(rec.Kept[:2], own.Kept) || !reflect.DeepEqual(rec.KeptFinal[:2], own.KeptFinal) || !slices.Equal(rec.Error.RelL2Layers[:2], own.Error.RelL2Layers) {
				t.Errorf("%s: owners keep or lose something else than alone", rec.Pipeline)
			}
			if i == 0 && rec.Pipeline != "random:budget=40" && !slices.Equal(rec.Error.RelL2Layers, all[n].Error.RelL2Layers) {
				t.Errorf("%s: errors %v, with copies %v", rec.Pipeline, rec.Error.RelL2Layers, all[n].Error.RelL2Layers)
			}
		}
	}
}

// TestEverythingOnBorrowedRows runs every pipeline where layers borrow: it applies or says why not, and the figures are of
// the layers that the pipeline changed.
func TestEverythingOnBorrowedRows(t *testing.T) {
	with, _, _ := borrowed(t)
	ok, shares := 0, 0
	specs := append([]string{"full", "lowrank:kind=xkv,layers=1", "cla:factor=1", "cla:calibrated=on,factor=1", "turboquant:boundary=1", "dsa", "gqa:calibrated=on,heads=2"}, everything...)
	for _, calibrate := range []bool{false, true} {
		o := Options{Traces: headers(with), Pipelines: parse(t, specs...), Lengths: []int{160}, Decode: new(16), Threads: 2}
		if calibrate {
			o.Calibrate = itself(with)
		}
		var full record.Record
		for _, rec := range runCells(t, o) {
			switch {
			case rec.Pipeline == "full":
				full = rec
			case rec.Status == record.Failed:
				t.Errorf("%s: %s", rec.Pipeline, rec.Reason)
			}
			if strings.Contains(rec.Reason, "which layers of the model do already (kv_from of 2..3)") {
				shares++
			}
			if rec.Status != record.OK {
				continue
			}
			ok++
			if e := rec.Error.RelL2; !(e >= 0 && e < 10) {
				t.Errorf("%s: error %g", rec.Pipeline, e)
			}
			if m := rec.Error.Mass; m != nil && !(*m >= 0 && *m < 1+1e-9) {
				t.Errorf("%s: mass %g", rec.Pipeline, *m)
			}
			for i, e := range rec.Error.RelL2Layers {
				if *rec.ChangedLayers == 0 && e != full.Error.RelL2Layers[i] {
					t.Errorf("%s changes no layer, but layer %d has error %g", rec.Pipeline, i, e)
				}
			}
			if *rec.ChangedLayers%2 != 0 {
				t.Errorf("%s: changes %d layers, want owners with those that read them", rec.Pipeline, *rec.ChangedLayers)
			}
		}
	}
	if ok < 120 || shares == 0 {
		t.Errorf("only %d of %d cells apply, %d are skipped for what the model shares", ok, 2*len(specs), shares)
	}
}

// TestBorrowedCells: a borrower is not measured without its owner, is timed as it reads, and is sized by its owner's bytes.
func TestBorrowedCells(t *testing.T) {
	with, _, _ := borrowed(t)
	o := Options{Traces: headers(with), Pipelines: parse(t, "full", "int8", "h2o:budget=40", "mla:rank=40"), Lengths: []int{160}, Decode: new(16), Repeats: 20}
	for _, rec := range runCells(t, o) {
		if rec.Status != record.OK || len(rec.Latency.StepNS) != 20 || rec.Latency.RatioToFull <= 0 || len(rec.Shapes) != 4 {
			t.Errorf("%s: %s %s %+v", rec.Pipeline, rec.Status, rec.Reason, rec.Latency)
		}
	}
	o.Repeats, o.Pipelines = 0, parse(t, "snapkv", "streamingllm:scope=all")
	full := *runCells(t, o)[0].CacheBytesFull
	for _, rec := range sized(t, o, Target{Bytes: full / 2}) {
		if rec.Status != record.OK || *rec.CacheBytes > full/2 || *rec.CacheBytes < full/3 {
			t.Errorf("%s: %s %s", rec.Pipeline, rec.Status, rec.Reason)
		}
	}
	o.Layers, o.Threads, o.MaxMemory = []int{1, 2}, 1, 1<<30
	if _, err := NewPlan(o); err == nil || !strings.Contains(err.Error(), "layer 2 reads the keys and values of layer 0 (kv_from), which is not among the layers asked for") {
		t.Errorf("without an owner: %v", err)
	}
}

// TestBorrowedExternal: an external result is one of the owners alone, and stands for those that borrow, too.
func TestBorrowedExternal(t *testing.T) {
	with, _, _ := borrowed(t)
	o := Options{Traces: headers(with), Pipelines: parse(t, "snapkv:budget=40,scope=all"), Lengths: []int{160}, Decode: new(16), Kept: true}
	want := runCells(t, o)[0]
	all, rows := exported(want), reconstructed(t, with, 160, 16, "77", func(x float32) float32 { return x })
	theirs, err := NewExternal("theirs")
	if err != nil {
		t.Fatal(err)
	}
	if err := theirs.Add(all.write(t), []*trace.Trace{with}); err == nil || !strings.Contains(err.Error(), "reads the keys and values of layer") {
		t.Errorf("rows of a layer that borrows: %v", err)
	}
	for _, f := range []externalFile{all, rows} {
		maps.DeleteFunc(f.tensors, func(name string, _ externalTensorData) bool { return name > "layers.2" })
	}
	o.Pipelines, o.Externals = nil, []*External{openExternal(t, "kept", with, all), openExternal(t, "rows", with, rows)}
	recs := runCells(t, o)
	if got := recs[0]; got.Status != record.OK || !reflect.DeepEqual(got.Error, want.Error) || *got.CacheBytes != *want.CacheBytes {
		t.Errorf("kept positions: %s %s, error %+v, want %+v", got.Status, got.Reason, got.Error, want.Error)
	}
	if got := recs[1]; got.Status != record.OK || !(got.Error.RelL2Layers[2] < 1e-5) || *got.CacheBytes != 77 {
		t.Errorf("the trace's own rows: %s %s, error %+v", got.Status, got.Reason, got.Error)
	}
}
