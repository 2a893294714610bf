//go:build (!amd64 && !arm64) || purego

package kernel

// available lists the paths of this build, slowest first. The price of portable Go alone is a tenth of what vectors
// reach, or less.
var available = []*path{&generic}
