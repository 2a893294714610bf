#!/usr/bin/env bash
# Validates what `kvgauge run --print kubernetes` prints against the schemas of the Kubernetes API, without a cluster.
#
#   go build . && testdata/recipes/kubernetes-validate.sh ./kvgauge
set -euo pipefail
kvgauge=$(realpath "$1")
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
print=("$kvgauge" run --trace synth --methods 'full,snapkv:budget=24' --shard 0/8 --out 'my "results"' --print kubernetes)
"${print[@]}" >timed.yaml
"${print[@]}" --no-latency >untimed.yaml
# A manifest that is wrong must be found, or the validation says nothing.
sed 's/completionMode: Indexed/completionModes: Indexed/' timed.yaml >wrong.yaml
export GOFLAGS=-mod=mod
validate="go run sigs.k8s.io/kubectl-validate@v0.0.4"
for version in 1.29 1.30; do # the oldest that has all fields, the newest that the validator knows by itself
	$validate --version $version timed.yaml untimed.yaml
	! $validate --version $version wrong.yaml 2>/dev/null || { echo "a wrong field passed"; exit 1; }
done
