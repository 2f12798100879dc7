#!/usr/bin/env bash
# Train one stage of layout generation:
#   bash tools/train_stage.sh N [CHECKPOINT] [options of tools/train_stage.py]
# Without CHECKPOINT the newest whole one is found: of stage N to go on, else of stage N - 1 to begin with.
# On several GPUs: GPUS=8 bash tools/train_stage.sh N ...; on several machines set NNODES, NODE_RANK, MASTER_ADDR (and
# PORT) too.
set -euo pipefail

if [ $# -lt 1 ]; then
    sed -n '2,6s/^# //p' "$0" >&2
    exit 2
fi
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
GPUS=${GPUS:-1}
export PYTHONPATH="$ROOT${PYTHONPATH:+:$PYTHONPATH}"

if [ "$GPUS" -le 1 ] && [ "${NNODES:-1}" -le 1 ]; then
    exec "${PYTHON:-python}" "$ROOT/tools/train_stage.py" "$@"
fi
# torchrun would give every process one thread: share the cores instead.
THREADS=$(( $(nproc) / GPUS ))
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-$(( THREADS > 0 ? THREADS : 1 ))}
exec "${PYTHON:-python}" -m torch.distributed.run \
    --nnodes="${NNODES:-1}" \
    --node_rank="${NODE_RANK:-0}" \
    --master_addr="${MASTER_ADDR:-127.0.0.1}" \
    --master_port="${PORT:-29500}" \
    --nproc_per_node="$GPUS" \
    "$ROOT/tools/train_stage.py" "$@" --launcher pytorch
