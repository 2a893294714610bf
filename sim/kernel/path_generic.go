//go:build (!amd64 && !arm64) || purego

package kernel

// Dispatch: the one path of other machines, and of the tag purego.

// available lists the paths of this build, slowest first. The price of portable Go alone is a tenth of what vectors
// reach, or less.
var available = []*path{&generic}
