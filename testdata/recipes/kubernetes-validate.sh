#!/usr/bin/env bash
# Validates what `kvgauge run --print kubernetes` prints against the schemas of the Kubernetes API, without a cluster.
#
#   go build . && testdata/recipes/kubernetes-validate.sh ./kvgauge
set -euo pipefail
kvgauge=$(realpath "$1")
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
"$kvgauge" run --trace synth --methods 'full,snapkv:budget=24' --shard 0/8 --out 'my results' --print kubernetes >job.yaml
# A manifest that is wrong must be found, or the validation says nothing.
sed 's/completionMode: Indexed/completionModes: Indexed/' job.yaml >wrong.yaml
export GOFLAGS=-mod=mod
validate="go run sigs.k8s.io/kubectl-validate@v0.0.4"
for version in 1.27 1.30; do
	$validate --version $version job.yaml
	! $validate --version $version wrong.yaml 2>/dev/null || { echo "a wrong field passed"; exit 1; }
done
