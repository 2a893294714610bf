//go:build !amd64 || purego

package kernel

// available lists the paths of this build, slowest first.
//
// arm64 has no assembly: Go's assembler (1.26) knows only the fused multiply-add of the vector float
// instructions, so that conversion from binary16, addition and multiplication would be lists of encoded
// words that nobody can review and that no machine of this project could run. The price is that of plain
// Go: about a tenth of what vectors reach.
var available = []*path{&generic}
