package cmd

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"kvgauge/sim/kernel"
)

// release is the version of this source tree.
const release = "0.1.0"

// version is the release and, where the build knows it, the commit.
func version() string {
	v := release
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" && len(s.Value) >= 12 {
				v += "+" + s.Value[:12]
			}
		}
	}
	return v
}

// versionLine is the version with the kernels in use and the toolchain.
func versionLine() string {
	return fmt.Sprintf("kvgauge %s, kernel %s, %s %s/%s", version(), kernel.Name, runtime.Version(), runtime.GOOS, runtime.GOARCH)
}

func newVersionCmd(s *system) *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version, the kernels in use and the toolchain",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			_, err := fmt.Fprintln(s.out, versionLine())
			return err
		},
	}
}
