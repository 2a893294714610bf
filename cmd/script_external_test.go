package cmd

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"

	"kvgauge/sim/record"
)

// elsewhere DIR writes the kept positions of each record of a folder as the external result LENGTH.safetensors.
func elsewhere(ts *testscript.TestScript, _ bool, args []string) {
	for line := range strings.Lines(ts.ReadFile(args[0] + "/records.jsonl")) {
		var r record.Record
		ts.Check(json.Unmarshal([]byte(line), &r))
		if r.Kept != nil {
			ts.Check(os.WriteFile(ts.MkAbs(fmt.Sprintf("%d.safetensors", r.SeqLen)), keptFile(ts, r), 0o666))
		}
	}
}

// keptFile is the safetensors file of a record's kept positions, in int64 as numpy writes them.
func keptFile(ts *testscript.TestScript, r record.Record) []byte {
	header := map[string]any{"__metadata__": map[string]string{
		"format": "kvgauge-external", "version": "1", "trace_sha256": r.TraceSHA256,
		"seq_len": fmt.Sprint(r.SeqLen), "decode": fmt.Sprint(r.Decode), "maker": "elsewhere",
	}}
	var data []byte
	for i, heads := range r.Kept {
		longest := len(slices.MaxFunc(heads, func(a, b []int32) int { return len(a) - len(b) }))
		begin := len(data)
		for _, positions := range heads {
			for j := range longest {
				pos := int64(-1)
				if j < len(positions) {
					pos = int64(positions[j])
				}
				data = binary.LittleEndian.AppendUint64(data, uint64(pos))
			}
		}
		header[fmt.Sprintf("layers.%d.kept", r.Layers[i])] = map[string]any{
			"dtype": "I64", "shape": []int{len(heads), longest}, "data_offsets": []int{begin, len(data)},
		}
	}
	text, err := json.Marshal(header)
	ts.Check(err)
	return bytes.Join([][]byte{binary.LittleEndian.AppendUint64(nil, uint64(len(text))), text, data}, nil)
}
