// Kvgauge measures what a KV-cache reduction method costs and what it saves.
package main

import (
	"os"

	"kvgauge/cmd"
)

func main() {
	os.Exit(cmd.Main())
}
