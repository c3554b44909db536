#!/usr/bin/env bash
# From a fresh Debian 12 machine to a trained model that finds pictures: installs what is missing,
# builds, makes the emoji set, trains a vocabulary and the three stages, evaluates, searches and
# writes a report. Parts that are done are not done again: after an interruption, run it again.
set -euo pipefail
cd "$(dirname "$0")/.."

run=runs/quickstart
data=$run/data
recipe=models/recipes/quickstart.toml
mome=build/release/bin/mome
times=$run/times # one file a part: the seconds it took, over all its runs
mkdir -p "$times"

part=
begin=0
elapsed() { awk -v a="$begin" -v b="$EPOCHREALTIME" 'BEGIN { printf "%.1f", b - a }'; }

# Adds the running part's time to what earlier, interrupted runs of it took.
record() {
  awk -v a="$(cat "$times/$part" 2> /dev/null || echo 0)" -v b="$(elapsed)" \
    'BEGIN { printf "%.1f\n", a + b }' > "$times/$part.new"
  mv "$times/$part.new" "$times/$part"
}

stopped() {
  local status=$?
  [ $status = 0 ] && return
  [ -n "$part" ] || return $status
  record
  echo >&2
  echo "quickstart: stopped in part \"$part\" (exit status $status); the message above says why." >&2
  echo "quickstart: mend that and run tools/quickstart.sh again: it goes on where it stopped." >&2
}
trap stopped EXIT

# do_part NAME WHAT COMMAND...: runs the command once; a finished part leaves $times/NAME.done.
do_part() {
  local name=$1 what=$2
  shift 2
  if [ -e "$times/$name.done" ]; then
    echo "== $what: done before ($(cat "$times/$name") s)"
    return
  fi
  echo "== $what"
  part=$name
  begin=$EPOCHREALTIME
  "$@"
  record
  part=
  touch "$times/$name.done"
}

build() {
  cmake --preset release > "$run/configure.log" || { cat "$run/configure.log"; return 1; }
  cmake --build build/release --target mome
}

make_data() {
  tools/setup.sh data "$run/packages"
  "$mome" data emoji "$data" --packages "$run/packages"
}

evaluate() {
  "$mome" evaluate --checkpoint "$run/pairs.safetensors" --data "$data/test.jsonl" --mask-rate 0.3 \
    --json "$run/evaluation.json"
}

search() {
  "$mome" search --checkpoint "$run/pairs.safetensors" --data "$data/all.jsonl" --unseen "$data/test.jsonl" --top 8 \
    --json "$run/searches.json" "woman health worker with medium-dark skin" "a man pilot" "hand pointing up" "a smiling cat with heart eyes"
}

write_seconds() {
  local name seconds total=0 body=
  for name in setup build data vocabulary pretrain evaluate search; do
    seconds=$(cat "$times/$name")
    body+="\"$name\": $seconds, "
    total=$(awk -v a="$total" -v b="$seconds" 'BEGIN { printf "%.1f", a + b }')
  done
  echo "{$body\"total\": $total}" > "$run/seconds.json"
}

# These two are never "done before": they know themselves what is up to date, and then take no time.
rm -f "$times/setup.done" "$times/build.done"
do_part setup "installing what is missing" tools/setup.sh
do_part build "building $mome" build
do_part data "making the image-text set in $data" make_data
do_part vocabulary "training a WordPiece vocabulary of 2,000" \
  "$mome" data vocab --size 2000 "$run/vocab.txt" "$data/text.txt"
do_part pretrain "pretraining: images, text, pairs" "$mome" pretrain "$recipe"
do_part evaluate "evaluating on pictures that were never trained on" evaluate
do_part search "searching" search
write_seconds
"$mome" report "$run"

echo
echo "checkpoint  $run/pairs.safetensors"
echo "log         $run/log.jsonl"
echo "summary     $run/summary.json"
echo "report      $run/report.html"
