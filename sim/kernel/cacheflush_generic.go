//go:build (!amd64 && !(arm64 && linux)) || purego

package kernel

// Reference: no instruction.

// lineFlush says that no instruction flushes lines here.
func lineFlush() (name string, flush func(p *byte, n int)) { return "", nil }
