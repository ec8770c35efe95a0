#!/usr/bin/env bash
# Rebuilds the working directory beside this file: the demo's commands, on fewer images.
#
#     cargo build --release && tests/data/workbench/make.sh
#
# Images, weights, and the name of the machine are left out.
set -euo pipefail
cd "$(dirname "$0")"
HERE=$PWD
CUTLINE=$(realpath "${1:-../../../target/release/cutline}")
# The logs contain this path.
export CUTLINE_ROOT=/tmp/cutline-demo
RUNS=$CUTLINE_ROOT/checkpoints

# The demo's settings, with batches of an eighth and four epochs: enough steps for so few images.
SETTINGS=(
    encoder.kind=small_cnn
    decoder.hidden_size=128
    decoder.embedding_size=64
    decoder.dropout=0
    training.epochs=4
    training.sampler=by_image
    training.batch_size=10
    training.learning_rate=1.5e-3
    training.lr_schedule.warmup_steps=50
    training.label_smoothing=0
)

train() {
    "$CUTLINE" train scenes --decoder merge "${SETTINGS[@]/#/--set=}" --run "$@"
}

steps() {
    grep --count '"event":"step"' "$RUNS/$1/events.jsonl" || true
}

rm -rf "$CUTLINE_ROOT"
mkdir "$CUTLINE_ROOT"
cd "$CUTLINE_ROOT"

"$CUTLINE" prepare scenes --name scenes --num-images 240
train demo-001
train demo-002 --set training.learning_rate=4e-3
train demo-003 --set decoder.hidden_size=64 --detach
until [ "$(steps demo-003)" -ge 150 ]; do
    sleep 0.02
done
"$CUTLINE" control demo-003 stop
"$CUTLINE" attach demo-003 --plain

"$CUTLINE" evaluate demo-001 --beam-size 3 >/dev/null
"$CUTLINE" evaluate demo-002 --beam-size 3 >/dev/null
"$CUTLINE" evaluate demo-001 --beam-size 1 --name greedy >/dev/null

find . -name images -type d -prune -exec rm -r {} +
find . \( -name '*.safetensors' -o -name lock \) -delete
find . -name control -type d -exec rm -r {} +
find . -name events.jsonl -exec sed --in-place --regexp-extended \
    --expression='s/"host":"[^"]*","pid":[0-9]+/"host":"workstation","pid":1/' \
    --expression='s/("id":"[0-9]+)-[0-9]+-/\1-1-/' {} +

rm -rf "$HERE/datasets" "$HERE/checkpoints"
mv datasets checkpoints "$HERE"
rmdir "$CUTLINE_ROOT"
