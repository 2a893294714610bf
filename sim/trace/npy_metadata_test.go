package trace

import (
	"archive/zip"
	"encoding/binary"
	"fmt"
	"maps"
	"math"
	"strings"
	"testing"
)

// scalarOf lays out an array of one element.
func scalarOf(descr, shape string, data []byte) []byte {
	return npyWith(fmt.Sprintf("{'descr': '%s', 'fortran_order': False, 'shape': %s, }", descr, shape), data)
}

// utf32Of is a text as NumPy stores it.
func utf32Of(text string, order binary.AppendByteOrder) (b []byte) {
	for _, r := range text {
		b = order.AppendUint32(b, uint32(r))
	}
	return b
}

func TestScalars(t *testing.T) {
	le, be := binary.LittleEndian, binary.BigEndian
	tests := []struct {
		descr, shape string
		data         []byte
		want         string
	}{
		{"<f4", "()", le.AppendUint32(nil, math.Float32bits(0.1)), "0.1"},
		{"<f8", "(1,)", le.AppendUint64(nil, math.Float64bits(0.1)), "0.1"},
		{">f8", "(1, 1)", be.AppendUint64(nil, math.Float64bits(1e6)), "1000000"},
		{"<f8", "()", le.AppendUint64(nil, math.Float64bits(1e300)), "1e+300"},
		{"<f8", "()", le.AppendUint64(nil, math.Float64bits(math.NaN())), "NaN"},
		{"<f2", "()", le.AppendUint16(nil, 0x3400), "0.25"},
		{"|i1", "()", []byte{0xff}, "-1"},
		{"|u1", "()", []byte{0xff}, "255"},
		{"<i2", "()", []byte{0xfe, 0xff}, "-2"},
		{">u2", "()", []byte{1, 2}, "258"},
		{"<i4", "(1,)", le.AppendUint32(nil, math.MaxUint32), "-1"},
		{"<i8", "()", le.AppendUint64(nil, 1<<63), "-9223372036854775808"},
		{"<u8", "()", le.AppendUint64(nil, 1<<63), "9223372036854775808"},
		{"|b1", "()", []byte{1}, "true"},
		{"<U4", "()", append(utf32Of("aé𝄞", le), 0, 0, 0, 0), "aé𝄞"},
		{">U3", "(1,)", utf32Of("aé𝄞", be), "aé𝄞"},
		{"<U1", "()", le.AppendUint32(nil, 0xd800), "\ufffd"},
		{"<U0", "()", nil, ""},
		{"|S6", "()", []byte("bytes\x00"), "bytes"},
	}
	for _, tt := range tests {
		c := &container{meta: map[string]string{}}
		others, err := c.takeScalars(map[string]member{"source.npy": memberOfBytes(scalarOf(tt.descr, tt.shape, tt.data))})
		if got := c.meta["source"]; err != nil || len(others) > 0 || got != tt.want {
			t.Errorf("%s %s: %q, %v, want %q", tt.descr, tt.shape, got, err, tt.want)
		}
	}
}

func memberOfBytes(b []byte) member {
	return member{int64(len(b)), section(strings.NewReader(string(b)), 0, int64(len(b)))}
}

func TestScalarsRefused(t *testing.T) {
	f4 := func(x float32) []byte { return binary.LittleEndian.AppendUint32(nil, math.Float32bits(x)) }
	for want, files := range map[string]map[string][]byte{
		"array scale: shape [2], want one value":                                                               {"scale": scalarOf("<f2", "(2,)", make([]byte, 4))},
		"array scale: shape [0], want one value":                                                               {"scale": scalarOf("<f2", "(0,)", nil)},
		"array scale: shape [0 4611686018427387905], want one value":                                           {"scale": scalarOf("<f2", "(0, 4611686018427387905)", nil)},
		"array scale: dtype |O, want a number or a text: leave None out, put other objects through json.dumps": {"scale": scalarOf("|O", "()", make([]byte, 4))},
		"array scale: dtype <c8, want a number or a text":                                                      {"scale": scalarOf("<c8", "()", make([]byte, 8))},
		"array scale: dtype [('a', '<f4')], want a number or a text":                                           {"scale": scalarOf("[('a', '<f4')]", "()", make([]byte, 4))},
		"array scale: dtype <Ux, want a text of at most 16777216 bytes":                                        {"scale": scalarOf("<Ux", "()", nil)},
		"array scale: dtype <U4194305, want a text of at most 16777216 bytes":                                  {"scale": scalarOf("<U4194305", "()", nil)},
		"array scale: 8 bytes of data, want those of shape [] in <U3":                                          {"scale": scalarOf("<U3", "()", make([]byte, 8))},
		"array scale: 3 bytes of data, want those of shape [] in <f4":                                          {"scale": scalarOf("<f4", "()", make([]byte, 3))},
		"array model: bytes that are no text, want UTF-8":                                                      {"model": scalarOf("|S2", "()", []byte("\xff\xfe"))},
		"array scale: a pickle, want a NumPy array":                                                            {"scale": []byte("\x80\x04\x95\x0b\x00\x00\x00\x00\x00\x00")},
		"array scale: 0.5, but metadata.json says 0.25, want one of them":                                      {"scale": scalarOf("<f4", "()", f4(0.5))},
		"metadata field num_layers: 0.5, want an integer from 6 to 65536":                                      {"num_layers": scalarOf("<f4", "()", f4(0.5))},
		"metadata field rope_tetha: not a field of a trace, did you mean rope_theta?":                          {"rope_tetha": scalarOf("<f4", "()", f4(1e4))},
		"metadata field sliding_window: not a field of a trace, want":                                          {"sliding_window": scalarOf("<f4", "()", f4(8))},
		"metadata field window: not a field of version 1, want version=2":                                      {"window": scalarOf("<f4", "()", f4(8))},
		"tensor layers.2.scale: not a tensor of a trace, want metadata field layers with scale in it":          {"layers.2.scale": scalarOf("<f4", "()", f4(1))},
		"tensor layers.2.q: dtype <V2, and metadata field dtype is float8, want bfloat16":                      {"dtype": scalarOf("|S6", "()", []byte("float8")), "layers.2.q": scalarOf("<V2", "(4, 4, 4)", make([]byte, 128))},
	} {
		meta, arrays := small("F16")
		meta["scale"] = "0.25"
		all := filesOf(meta, arrays)
		for name, file := range files {
			all[name+".npy"] = file
		}
		if _, err := fromZip(zipOf(all, zip.Deflate)); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

// Scalars that are no field of a trace are metadata like any other; what has dimensions is carried along.
func TestScalarsBeside(t *testing.T) {
	meta, arrays := small("F16")
	files := filesOf(meta, arrays)
	maps.Copy(files, map[string][]byte{
		"seed.npy":     scalarOf("<i8", "()", make([]byte, 8)),
		"x_run.npy":    scalarOf("<i8", "()", make([]byte, 8)),
		"tokens.npy":   scalarOf("<i8", "(1,)", make([]byte, 8)),
		"scale.npy":    scalarOf("<f8", "()", binary.LittleEndian.AppendUint64(nil, math.Float64bits(0.75))),
		"softcap.json": nil,
	})
	tr, err := fromZip(zipOf(files, zip.Store))
	if err != nil {
		t.Fatal(err)
	}
	got := fmt.Sprint(tr.Unknown, tr.src.(*container).carried(), tr.Attention[0].Scale)
	if want := "[metadata field seed: not a field of a trace, ignored] [tokens] 0.75"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// metadata.json as people write it.
func TestMetadataValues(t *testing.T) {
	meta, ignored, err := parseMetadata([]byte(`{"version": 2, "scale": 0.0883883476, "rope_theta": 1e6, "window": 512.0, "big": 1e300,
		"model": "a\u00e9", "layers": { "5": {"window": null} }, "needles": [ 1 ], "x_causal": true, "softcap": null, "version": 2.0, "model": "b"}`))
	want := map[string]string{
		"version": "2", "scale": "0.0883883476", "rope_theta": "1000000", "window": "512", "big": "1e300",
		"model": "b", "layers": `{"5":{"window":null}}`, "needles": "[1]", "x_causal": "true",
	}
	if err != nil || !maps.Equal(meta, want) {
		t.Errorf("%q, %v, want %q", meta, err, want)
	}
	if got := fmt.Sprint(ignored); got != "[metadata field model: comes more than once, aé ignored]" {
		t.Errorf("ignored %s", got)
	}
}
