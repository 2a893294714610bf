package report

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"
)

// TestSVG is well-formed whatever names there are, holds them as text, and asks for fonts of the widths it was laid out
// with.
func TestSVG(t *testing.T) {
	records := goldenRecords()
	for i := range records {
		if records[i].Pipeline == "mqa" {
			records[i].Pipeline = "a<b>&\"c\"\x00\x1b\uffff"
		}
	}
	pictures, err := Plots(records, "svg")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range pictures {
		if !strings.HasSuffix(p.Name, ".svg") {
			t.Errorf("name %s", p.Name)
		}
		var text strings.Builder
		for d := xml.NewDecoder(bytes.NewReader(p.Data)); ; {
			token, err := d.Token()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatalf("%s: %v", p.Name, err)
			}
			switch token := token.(type) {
			case xml.CharData:
				text.Write(token)
			case xml.StartElement:
				for _, a := range token.Attr {
					if strings.Contains(a.Value, "font-family") && !strings.Contains(a.Value, "Arial") {
						t.Errorf("%s: %s", p.Name, a.Value)
					}
				}
			}
		}
		for _, want := range []string{"SmolLM2-135M-Instruct", `a<b>&"c"`, "snapkv:budget=25%"} {
			if !strings.Contains(text.String(), want) {
				t.Errorf("%s: no %q in it", p.Name, want)
			}
		}
	}
}

// TestPlotFormatOf: the ending of a name says the format, and no other ending is taken.
func TestPlotFormatOf(t *testing.T) {
	for path, want := range map[string]string{"a.png": "png", "b/A.SVG": "svg", "a.b.svg": "svg", "a.jpg": "", "png": "", "a.svg.txt": "", "a.": "", ".svg/a": ""} {
		if got, err := PlotFormatOf(path); got != want || (err == nil) != (want != "") {
			t.Errorf("%s: %q, %v, want %q", path, got, err, want)
		}
	}
}
