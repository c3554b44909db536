#!/usr/bin/env bash
# Checks and measures the cuda device on a machine with a GPU.
#   tools/gpu_check.sh [--carried] [--out CSV] [--python PYTHON] [part...]
# Parts, each within ten minutes (default: all, in this order):
#   build       configures and builds the preset cuda for this machine's GPUs
#   tests       every kernel's test on the cuda device (the same test bodies that CI runs on simt), and NCCL's
#   sanitizer   compute-sanitizer's memcheck, racecheck, initcheck and synccheck over the small kernel tests
#   train       a tiny training of all three stages in f32, fp16 and bf16, whose losses follow the cpu device's
#   attention   figures of attention with a trained bias          | each appended to CSV beside
#   norms       of the LayerNorm family                           | PyTorch (where it is installed) and
#   experts     of the experts                                    | the copy bandwidth or the rate of a
#   step        of VLMo-Base's whole stage-3 step in bf16 / fp16  | dense product in the same run
# --carried: uses the binaries in build/cuda as they are (built elsewhere), without the part build.
# Exit status: 0 all passed, 1 something failed, 2 there is no GPU here (or wrong use).
set -uo pipefail
cd "$(dirname "$0")/.."

say() { echo "gpu_check: $*"; }
out=bench/results/gpu.csv python=python3 carried=no parts=()
while [ $# -gt 0 ]; do
  case $1 in
    --carried) carried=yes ;;
    --out) out=${2:?gpu_check: --out needs a file} && shift ;;
    --python) python=${2:?gpu_check: --python needs a program} && shift ;;
    build | tests | sanitizer | train | attention | norms | experts | step) parts+=("$1") ;;
    *)
      echo "gpu_check: unknown argument $1; usage: tools/gpu_check.sh [--carried] [--out CSV] [--python PYTHON] [part...]" >&2
      exit 2
      ;;
  esac
  shift
done
[ ${#parts[@]} -gt 0 ] || parts=(build tests sanitizer train attention norms experts step)

if ! command -v nvidia-smi > /dev/null || ! gpus=$(nvidia-smi --query-gpu=name,compute_cap --format=csv,noheader 2> /dev/null) || [ -z "$gpus" ]; then
  say "there is no GPU on this machine (nvidia-smi finds none): nothing was checked" >&2
  exit 2
fi
say "GPUs: ${gpus//$'\n'/; }"
capability=$(head -1 <<< "$gpus" | sed 's/.*, *//; s/\.//')
dtype=bf16
[ "$capability" -ge 80 ] || dtype=fp16
failed=()

part_build() {
  tools/setup.sh && cmake --preset cuda -DCMAKE_CUDA_ARCHITECTURES="$capability-real" && cmake --build build/cuda
}

kernel_tests() { find build/cuda/tests -name '*_gpu_test' -type f | sort; }

part_tests() {
  local test status=0
  [ -n "$(kernel_tests)" ] || { say "no tests in build/cuda/tests: build first"; return 1; }
  for test in $(kernel_tests) build/cuda/tests/nccl_test; do
    say "$test"
    "$test" --gtest_brief=1 || status=1
  done
  return $status
}

part_sanitizer() {
  local tool test status=0
  command -v compute-sanitizer > /dev/null || { say "compute-sanitizer is not installed"; return 1; }
  # The tests that play the interpreter's own faults have nothing to do on a GPU.
  for tool in memcheck racecheck initcheck synccheck; do
    for test in $(kernel_tests | grep -v mutation); do
      say "$tool $test"
      MOME_GEMM_CACHE=none compute-sanitizer --tool "$tool" --error-exitcode 9 "$test" --gtest_brief=1 --gtest_filter='-*Mutation*' > build/cuda/sanitizer.log 2>&1 ||
        { status=1; tail -40 build/cuda/sanitizer.log; }
    done
  done
  return $status
}

# The recipe of the test suite's pretraining: CI trains it on simt, here it runs on the GPU.
part_train() {
  MOME_TEST_DEVICE=cuda build/cuda/tests/pretrain_test --gtest_filter='*Simt*'
}

table() {
  "$python" bench/gpu/table.py --program build/cuda/bin/mome_bench_gpu --mome build/cuda/bin/mome --parts "$1" --dtype "$dtype" --python "$python" --out "$out"
}
part_attention() { table attention; }
part_norms() { table norms; }
part_experts() { table experts; }
part_step() { table step; }

for part in "${parts[@]}"; do
  if [ "$part" = build ] && [ $carried = yes ]; then continue; fi
  say "part $part"
  if "part_$part"; then say "part $part: passed"; else
    say "part $part: FAILED"
    failed+=("$part")
  fi
done
if [ ${#failed[@]} -gt 0 ]; then
  say "failed: ${failed[*]}"
  exit 1
fi
say "all parts passed: ${parts[*]}"
