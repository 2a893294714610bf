package record

import (
	"os"
	"path/filepath"
	"testing"
)

// FuzzManifest merges what a run.json may hold: an error at worst.
func FuzzManifest(f *testing.F) {
	for _, text := range []string{
		`{"schema":1,"finished":"2026-01-01T00:00:00Z","cells":1}`,
		`{"schema":1,"finished":"2026-01-01T00:00:00Z","cells":-1}`,
		`{"schema":1,"finished":"2026-01-01T00:00:00Z","cells":1000000000000}`,
		`{"schema":1,"finished":"2026-01-01T00:00:00Z","shard":{"index":-5,"count":1000000000,"plan":2,"positions":[1,0]}}`,
		`{"schema":2}`, `{`, `[]`, `null`,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, ManifestFile), data, 0o666); err != nil {
			t.Fatal(err)
		}
		m, err := ReadManifest(dir)
		if err != nil {
			return
		}
		if _, records, _, err := Merge([]Part{{Path: dir, Manifest: m}}); err == nil && len(records) > 0 {
			t.Errorf("%d records of none", len(records))
		}
	})
}
