#!/usr/bin/env bash
# Runs a sweep on a real Slurm of this machine: one controller, one node, and a job of higher priority that preempts the
# jobs of the sweep. Needs root, Debian's packages (apt-get install slurm-wlm munge) and lnbench[run,slurm].
#
#     bash scripts/slurm_here.sh
#
# Everything is in a temporary folder and on 127.0.0.1, and ends with the script.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
python=$PWD/.venv/bin/python
here=$(mktemp -d)
export SLURM_CONF=$here/slurm.conf PYTHONPATH=$PWD OMP_NUM_THREADS=1

ended() {
    kill "${sweeping:-}" 2>/dev/null || true
    timeout 5 scancel --full --signal=KILL --user=root --quiet 2>/dev/null || true
    for name in slurmd slurmctld munged; do
        [[ ! -f $here/$name.pid ]] || kill -KILL "$(cat "$here/$name.pid")" 2>/dev/null || true
    done
    rm -rf "$here"
}
trap ended EXIT

step() { printf '\n%4d s  %s\n' "$SECONDS" "$*"; }

mkdir -m 755 "$here/munge" "$here/state" "$here/spool"
chmod 755 "$here"
dd if=/dev/urandom of="$here/munge/key" bs=1024 count=1 status=none
chmod 600 "$here/munge/key"
munged --force --key-file="$here/munge/key" --socket="$here/munge/socket" --pid-file="$here/munged.pid" \
    --log-file="$here/munged.log" --seed-file="$here/munge/seed" --num-threads=2

cores=$(env -u OMP_NUM_THREADS nproc)
cat >"$here/slurm.conf" <<CONF
ClusterName=here
SlurmctldHost=$(hostname -s)(127.0.0.1)
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket=$here/munge/socket
CryptoType=crypto/munge
SlurmctldPort=16817
SlurmdPort=16818
SlurmctldPidFile=$here/slurmctld.pid
SlurmdPidFile=$here/slurmd.pid
SlurmctldLogFile=$here/slurmctld.log
SlurmdLogFile=$here/slurmd.log
StateSaveLocation=$here/state
SlurmdSpoolDir=$here/spool
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SchedulerType=sched/backfill
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
JobRequeue=1
KillWait=20
ReturnToService=2
NodeName=$(hostname -s) NodeAddr=127.0.0.1 CPUs=$cores State=UNKNOWN
PartitionName=low Nodes=ALL Default=YES MaxTime=INFINITE State=UP PriorityTier=1 GraceTime=60 PreemptMode=REQUEUE
PartitionName=high Nodes=ALL MaxTime=INFINITE State=UP PriorityTier=2 PreemptMode=OFF
CONF
slurmctld -f "$here/slurm.conf"
slurmd -f "$here/slurm.conf"
for _ in $(seq 60); do
    [[ $(sinfo --noheader --format=%t --partition=low 2>/dev/null) == idle ]] && break
    sleep 0.5
done
sinfo

"$python" - "$here" 2>/dev/null <<'PYTHON'
import sys
from pathlib import Path

from tests import runs

here = Path(sys.argv[1])
runs.save_model("bert", here / "model")
runs.write_data(here / "data")
PYTHON
sweep=(method=ln,bitfit seed=0,1 model.source="$here/model" model.name=tiny data_root="$here/data"
    cache_dir="$here/cache" task=sst2 task.max_length=32 ++task.splits.validation_fraction=0.25
    trainer.batch_size=8 trainer.max_epochs=40 trainer.max_steps=null trainer.lr=0.03 trainer.device=cpu
    trainer.progress=false trainer.validate_every=4 trainer.checkpoint_minutes=0.001)
slurm=(hydra/launcher=slurm hydra.launcher.partition=low hydra.launcher.gpus_per_node=null
    hydra.launcher.cpus_per_task=1 hydra.launcher.timeout_min=60)

# A run that has saved its state in the last seconds, so that a job is doing it now.
under_way() {
    local state
    for _ in $(seq 2400); do
        state=$(find "$here/runs" -name resume.safetensors -newermt '-3 seconds' 2>/dev/null | head -1)
        [[ -z $state ]] || { dirname "$(dirname "$state")"; return; }
        sleep 0.25
    done
    return 1
}
job_of() { grep --files-with-matches --fixed-strings "$1" "$here"/runs/.submitit/*/*_log.out | head -1; }
finished() { find "$here/runs" -name record.json | wc -l; }

step "the sweep starts: four runs, two at a time"
"$python" -m lnbench -m "${sweep[@]}" runs_dir="$here/runs" "${slurm[@]}" >"$here/sweep.log" 2>&1 &
sweeping=$!

run=$(under_way)
log=$(job_of "$run")
job=$(basename "$(dirname "$log")")
step "scancel --signal=USR2 $job, which does the run $(basename "$run")"
# It tries again and again once the job is back in the queue, where nothing can get a signal.
timeout 5 scancel --signal=USR2 "$job" || true
sleep 10
squeue

run=$(under_way)
job=$(basename "$(dirname "$(job_of "$run")")")
step "a job in a partition of higher priority wants all cores; $(basename "$run") is under way in $job, $(finished) are finished"
sbatch --partition=high --cpus-per-task="$cores" --output=/dev/null --wrap 'sleep 5' >/dev/null
for _ in 1 2 3 4; do
    sleep 5
    squeue
done

step "waiting for the sweep"
wait $sweeping && echo "exit code 0" || echo "exit code $?"
grep -vE "sacct|accounting" "$here/sweep.log" || true  # this Slurm keeps no accounts, as submitit says again and again
step "what submitit and the runs wrote"
for log in "$here"/runs/.submitit/*/*_log.out; do
    echo "-- job $(basename "$(dirname "$log")")"
    grep -E "Caught|Requeued|Bypassing SIG|CANCELLED|PREEMPT|requeue|Stopped|Interrupted|trains|resum|goes on|from step|saved in|completed" "$log" || true
done

step "the same sweep in one process"
"$python" -m lnbench -m "${sweep[@]}" runs_dir="$here/calm" hydra/launcher=basic >/dev/null 2>&1
"$python" -m scripts.equal_runs "$here/calm" "$here/runs"
