#!/usr/bin/env bash
# Test under SLURM, one task per GPU (or per process, on a cluster without GPUs):
#   bash tools/slurm_test.sh PARTITION JOB_NAME CONFIG CHECKPOINT [arguments of tools/test.py]
# Environment: GPUS=8 GPUS_PER_NODE=8 CPUS_PER_TASK=5 SRUN_ARGS="" PY_ARGS="" MASTER_PORT=29500
set -euo pipefail

if [ $# -lt 4 ]; then
    sed -n '2,4s/^# //p' "$0" >&2
    exit 2
fi
PARTITION=$1
JOB_NAME=$2
CONFIG=$3
CHECKPOINT=$4
shift 4
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

GPUS=${GPUS:-8}
GPUS_PER_NODE=${GPUS_PER_NODE:-8}
GPUS_PER_NODE=$(( GPUS < GPUS_PER_NODE ? GPUS : GPUS_PER_NODE ))
CPUS_PER_TASK=${CPUS_PER_TASK:-5}
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-$CPUS_PER_TASK}
export PYTHONPATH="$ROOT${PYTHONPATH:+:$PYTHONPATH}"

GRES=()
NODES=$(sinfo --noheader --partition="$PARTITION" --format=%G)
if [ -z "$NODES" ]; then
    echo "error: partition '$PARTITION' has no nodes; sinfo lists: $(sinfo --noheader --format=%R | tr '\n' ' ')" >&2
    exit 2
fi
if grep -q gpu <<< "$NODES"; then
    GRES=(--gres="gpu:$GPUS_PER_NODE")
fi

# SRUN_ARGS and PY_ARGS hold several words each.
# shellcheck disable=SC2086
exec srun --partition="$PARTITION" \
    --job-name="$JOB_NAME" \
    ${GRES[@]+"${GRES[@]}"} \
    --ntasks="$GPUS" \
    --ntasks-per-node="$GPUS_PER_NODE" \
    --cpus-per-task="$CPUS_PER_TASK" \
    --kill-on-bad-exit=1 \
    ${SRUN_ARGS:-} \
    "${PYTHON:-python}" -u "$ROOT/tools/test.py" "$CONFIG" "$CHECKPOINT" --launcher=slurm ${PY_ARGS:-} "$@"
