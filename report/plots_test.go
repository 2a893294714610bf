package report

import (
	"bytes"
	"image"
	"image/png"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"gonum.org/v1/plot/vg"

	"kvgauge/sim/record"
)

// TestPlots draws each picture of sets of records that are large, small or odd.
func TestPlots(t *testing.T) {
	all := synthRecords("25%")
	single := slices.DeleteFunc(slices.Clone(all), func(r record.Record) bool { return r.Trace != "smollm2" || r.SeqLen != 256 })
	long := slices.Clone(single)
	for i := range long {
		long[i].Pipeline += strings.Repeat("+with:another=1", 30)
		long[i].Trace = strings.Repeat("trace", 60)
	}
	var traces []record.Record
	for i := range maxPanels + 2 {
		for _, r := range single {
			r.Trace += string(rune('a' + i))
			traces = append(traces, r)
		}
	}
	for _, c := range []struct {
		name    string
		records []record.Record
		panels  int
	}{
		{"three traces", all, 3},
		{"four budgets", synthRecords("2%", "12%", "25%", "50%"), 3},
		{"one cell of each pipeline", single, 1},
		{"one record", single[:1], 1},
		{"long names", long, 1},
		{"many traces", traces, maxPanels},
	} {
		t.Run(c.name, func(t *testing.T) {
			if testing.Short() && c.panels > 1 {
				t.Skip("large pictures")
			}
			pictures, err := Plots(c.records, "png")
			if err != nil {
				t.Fatal(err)
			}
			for _, p := range pictures {
				if p.Skipped != "" {
					t.Errorf("%s: skipped: %s", p.Name, p.Skipped)
					continue
				}
				img := decode(t, p)
				// A panel is 3.4 to 4.2 inches high and 4.3 to 7.2 wide.
				across, down := min(c.panels, maxAcross), (c.panels+maxAcross-1)/maxAcross
				size := img.Bounds().Size()
				if size.X < across*43*dpi/10 || size.Y < down*34*dpi/10 || size.X > 15*dpi || size.Y > (down*4+12)*dpi {
					t.Errorf("%s: %v for %d panels", p.Name, size, c.panels)
				}
				for _, edge := range []image.Rectangle{
					{image.Pt(0, 0), image.Pt(size.X, 20)},
					{image.Pt(0, size.Y-20), size},
					{image.Pt(0, 0), image.Pt(20, size.Y)},
					{image.Pt(size.X-20, 0), size},
				} {
					if n := ink(img, edge); n > 0 {
						t.Errorf("%s: %d pixels in the margin %v", p.Name, n, edge)
					}
				}
			}
		})
	}
}

func decode(t *testing.T, p Picture) image.Image {
	t.Helper()
	img, err := png.Decode(bytes.NewReader(p.Data))
	if err != nil {
		t.Fatalf("%s: %v", p.Name, err)
	}
	return img
}

// ink counts the pixels that are not white.
func ink(img image.Image, r image.Rectangle) int {
	n := 0
	for y := r.Min.Y; y < r.Max.Y; y++ {
		for x := r.Min.X; x < r.Max.X; x++ {
			if red, green, blue, _ := img.At(x, y).RGBA(); red+green+blue < 3*0xFFFF {
				n++
			}
		}
	}
	return n
}

// TestPlotsShowEveryPipeline finds pixels of each colour that pipelines have, in each picture.
func TestPlotsShowEveryPipeline(t *testing.T) {
	records := synthRecords("25%")
	pictures, err := Plots(records, "png")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range pictures {
		img := decode(t, p)
		_, h := panelSize(3)
		upper := image.Rect(0, 0, img.Bounds().Dx(), int((margin+gutter+h)*dpi/vg.Inch)) // the legend is below
		colours := map[[3]uint32]int{}
		for y := upper.Min.Y; y < upper.Max.Y; y++ {
			for x := upper.Min.X; x < upper.Max.X; x++ {
				r, g, b, _ := img.At(x, y).RGBA()
				colours[[3]uint32{r, g, b}]++
			}
		}
		for name, s := range styles(records) {
			r, g, b, _ := s.line.Color.RGBA()
			if n := colours[[3]uint32{r, g, b}]; n < 100 {
				t.Errorf("%s: %d pixels of %s", p.Name, n, name)
			}
		}
	}
}

// TestPlotsRepeat gives the same bytes for the same records.
func TestPlotsRepeat(t *testing.T) {
	a, err := Plots(goldenRecords(), "png")
	if err != nil {
		t.Fatal(err)
	}
	b, err := Plots(goldenRecords(), "png")
	if err != nil {
		t.Fatal(err)
	}
	for i := range a {
		if !bytes.Equal(a[i].Data, b[i].Data) {
			t.Errorf("%s differs from one time to the next", a[i].Name)
		}
	}
}

// TestPlotsSkip says what records lack, and draws the rest.
func TestPlotsSkip(t *testing.T) {
	untimed := goldenRecords()
	for i := range untimed {
		untimed[i].Latency = nil
	}
	nothing := slices.Clone(untimed)
	for i := range nothing {
		nothing[i].Error, nothing[i].CacheBytes = nil, nil
	}
	const noBytes, noTime, noError, noTrade = "no cache was measured", "no latency was measured", "no error was measured", "no error was measured beside a cache"
	for _, c := range []struct {
		name    string
		records []record.Record
		want    []string
	}{
		{"no latency", untimed, []string{"", noTime, "", ""}},
		{"nothing measured", nothing, []string{noBytes, noTime, noError, noTrade}},
		{"no records", nil, []string{noBytes, noTime, noError, noTrade}},
	} {
		pictures, err := Plots(c.records, "png")
		if err != nil {
			t.Fatal(err)
		}
		for i, p := range pictures {
			if p.Skipped != c.want[i] || (len(p.Data) == 0) != (c.want[i] != "") {
				t.Errorf("%s: %s: skipped %q with %d bytes, want %q", c.name, p.Name, p.Skipped, len(p.Data), c.want[i])
			}
		}
	}
}

// TestWritePlots writes what can be drawn and removes a picture of other records.
func TestWritePlots(t *testing.T) {
	dir := t.TempDir()
	if _, err := WritePlots(dir, goldenRecords(), "png"); err != nil {
		t.Fatal(err)
	}
	untimed := goldenRecords()
	for i := range untimed {
		untimed[i].Latency = nil
	}
	if _, err := WritePlots(dir, untimed, "png"); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	if want := []string{"bytes.png", "error.png", "tradeoff.png"}; !slices.Equal(names, want) {
		t.Errorf("files %v, want %v", names, want)
	}
	if _, err := WritePlots(filepath.Join(dir, "none"), goldenRecords(), "png"); err == nil {
		t.Error("no error for a folder that does not exist")
	}
}
