#!/bin/bash
# One run of prepare on the nodes of a Slurm job. Settings, sources and OUT are in a folder that all nodes share.
#   sbatch examples/cluster/slurm.sh prepare.yaml
# A job that is ended goes on where it was: submit it again.
#SBATCH --job-name=sftdata
#SBATCH --nodes=4
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=32
#SBATCH --mem=0
#SBATCH --time=08:00:00

set -euo pipefail
if [[ $# -lt 1 ]]; then
    echo "usage: sbatch slurm.sh SETTINGS.yaml [OPTION ...]" >&2
    exit 2
fi

source "${VENV:-.venv}/bin/activate"    # the same on every node, so in the shared folder too
export RAY_USAGE_STATS_ENABLED=0 OMP_NUM_THREADS=1
export TMPDIR=/tmp                      # the files of Ray belong on a disk of the node

head=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
port=$((20000 + SLURM_JOB_ID % 20000))  # several jobs may share a node

# Starts Ray on every node, runs the command on the first one, and stops Ray.
srun --kill-on-bad-exit=1 --ntasks="$SLURM_NNODES" \
    ray symmetric-run --address "$head:$port" --min-nodes "$SLURM_NNODES" --num-cpus "$SLURM_CPUS_PER_TASK" -- \
    sftdata prepare "$@" --engine ray --ray-address "$head:$port"
