#!/usr/bin/env bash
# Train all stages of layout generation, one after the other: layout, identity, feedback.
#   bash tools/train_stages.sh [options of tools/train_stage.py]
# Run it again after an interruption: finished stages are passed over, the interrupted one goes on. The tiny configs (the
# default) begin with their base, stage 0; other stages: STAGES="2 3" bash tools/train_stages.sh ...
# On several GPUs: GPUS=8 bash tools/train_stages.sh ...
set -euo pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
case " $* " in
    *" --configs flux "* | *" --configs=flux "*) ALL="1 2 3" ;;  # FLUX.1 is trained already.
    *) ALL="0 1 2 3" ;;
esac
for stage in ${STAGES:-$ALL}; do
    bash "$ROOT/tools/train_stage.sh" "$stage" "$@"
done
