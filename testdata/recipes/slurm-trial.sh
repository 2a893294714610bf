#!/usr/bin/env bash
# Tries what `kvgauge run --print slurm` prints on a real Slurm: a controller and two nodes on this machine, an
# array of four tasks, one of them killed and requeued while it measures, and the merge that waits for them. Then
# a sweep with latency, one of whose tasks is cancelled for good: the merge refuses, and the same job submitted again
# goes on. Both times the merged records must be those of one run, latency apart. A task that takes more memory
# than the job asks for is killed. Needs Debian's slurm-wlm and munge, and root:
#
#   apt-get install --no-install-recommends slurm-wlm munge
#   go build . && testdata/recipes/slurm-trial.sh ./kvgauge
set -euo pipefail
kvgauge=$(realpath "$1")
dir=$(mktemp -d)
pids=()
stop() { # only what this script started
	for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
	wait
	rm -rf "$dir"
}
trap stop EXIT
chmod 755 "$dir"

mkdir -p "$dir/munge"
chmod 700 "$dir/munge"
dd if=/dev/urandom of="$dir/munge/key" bs=1024 count=1 status=none
chmod 600 "$dir/munge/key"
munged --foreground --force --key-file="$dir/munge/key" --socket="$dir/munge.socket" --pid-file="$dir/munge/pid" \
	--log-file="$dir/munge/log" --seed-file="$dir/munge/seed" 2>"$dir/munged.log" &
pids+=($!)

mkdir -p "$dir/state" "$dir/spool-a" "$dir/spool-b"
cat >"$dir/slurm.conf" <<END
ClusterName=trial
SlurmctldHost=$(hostname -s)(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=$dir/munge.socket
SlurmctldPort=16817
StateSaveLocation=$dir/state
SlurmdSpoolDir=$dir/spool-%n
SlurmctldPidFile=$dir/slurmctld.pid
SlurmdPidFile=$dir/slurmd-%n.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=1
JobAcctGatherParams=OverMemoryKill
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
MpiDefault=none
ReturnToService=2
KillWait=2
NodeName=a NodeHostname=$(hostname -s) NodeAddr=127.0.0.1 Port=16821 CPUs=2 RealMemory=4096
NodeName=b NodeHostname=$(hostname -s) NodeAddr=127.0.0.1 Port=16822 CPUs=2 RealMemory=4096
PartitionName=all Nodes=a,b Default=YES MaxTime=INFINITE State=UP
END
export SLURM_CONF=$dir/slurm.conf
slurmctld -D -f "$SLURM_CONF" >"$dir/slurmctld.log" 2>&1 &
pids+=($!)
for node in a b; do
	slurmd -D -N "$node" -f "$SLURM_CONF" >"$dir/slurmd-$node.log" 2>&1 &
	pids+=($!)
done
for _ in $(seq 60); do
	[ "$(sinfo -h -t idle -o %D 2>/dev/null)" = 2 ] && break
	sleep 1
done
sinfo

cd "$dir"
export KVGAUGE=$kvgauge
sweep=(--trace synth --lengths 512..2k --methods seed --no-latency --threads 1)

# submit JOB submits what was printed to JOB; array and merge are then the numbers that Slurm gave them.
submit() {
	submitted=$(sh "$1")
	echo "$submitted"
	array=$(sed -n 's/^array \([0-9]*\),.*/\1/p' <<<"$submitted")
	merge=$(sed -n 's/.* merge \([0-9]*\),.*/\1/p' <<<"$submitted")
}

# measuring PART waits until a part has a record.
measuring() {
	for _ in $(seq 600); do
		[ -s "$1/records.jsonl" ] && break
		sleep 0.05
	done
	echo "# $(wc -l <"$1/records.jsonl") of $(sed -n 's/^  "cells": \([0-9]*\),/\1/p' "$1/run.json") cells are measured"
}

# cut_short PART fails where a part is whole: then nothing was tried.
cut_short() {
	grep -q '"finished": null' "$1/run.json" || { echo "the task had ended before it was killed: nothing was tried"; exit 1; }
}

# ended JOB waits until a job is over.
ended() {
	for _ in $(seq 300); do
		case $(scontrol show job "$1" | grep -o 'JobState=[A-Z]*' | sort -u) in
		JobState=COMPLETED | JobState=FAILED) break ;;
		esac
		sleep 1
	done
	scontrol show job "$1" | grep -oE '(JobState|Restarts|ExitCode)=[^ ]*' | paste -sd ' '
}

"$kvgauge" run "${sweep[@]}" --out one --no-plots --progress off >/dev/null

echo "\$ kvgauge run ${sweep[*]} --shard 0/4 --out swept --print slurm | sh"
"$kvgauge" run "${sweep[@]}" --shard 0/4 --out swept --print slurm >job.sh
submit job.sh
measuring swept.shards/1
echo "\$ scontrol requeue ${array}_1"
scontrol requeue "${array}_1"
cut_short swept.shards/1
squeue -o '%.12i %.14j %.10T %.8N %.20r'
ended "$merge"
ended "${array}_1"
cat swept.shards/1.log
wc -l swept.shards/*/records.jsonl swept/records.jsonl
cmp one/records.jsonl swept/records.jsonl
echo "the merged records are those of one run"

sweep=(--trace smollm2 --lengths 256..1k --methods seed --threads 1)
out="50% of 'them'"
"$kvgauge" run "${sweep[@]}" --out two --no-plots --progress off >/dev/null
echo "\$ kvgauge run ${sweep[*]} --shard 0/4 --out \"$out\" --print slurm | sh"
"$kvgauge" run "${sweep[@]}" --shard 0/4 --out "$out" --print slurm >job.sh
submit job.sh
measuring "$out.shards/1"
echo "\$ scancel ${array}_1"
scancel "${array}_1"
squeue -o '%.12i %.14j %.10T %.8N %.20r'
ended "$merge"
cut_short "$out.shards/1"
cat "$out.shards/merge.log"
[ ! -e "$out" ] || { echo "the merge wrote a result without part 1"; exit 1; }
submit job.sh
ended "$merge"
cat "$out.shards/1.log"
untimed() { sed 's/"latency":{[^}]*}/"latency":{}/' "$1/records.jsonl"; }
cmp <(untimed two) <(untimed "$out")
echo "the merged records are those of one run, latency apart"
