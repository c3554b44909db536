#!/usr/bin/env bash
# Compiles the device code of CUDA sources for each architecture, without host code and without
# linking, and keeps what ptxas says of every kernel (registers, shared memory, spills).
#   tools/cuda_compile.sh [--arch 70,75,80,90] [--out DIR] [--toolkit DIR] [--require-all] [FILE.cu...]
# Without files: kernels/*/*_cuda.cu. Each gives DIR/sm_XX/NAME.cubin and NAME.log; DIR is build/cuda_code
# unless told otherwise, and what an earlier run left there is removed.
# An architecture that the installed nvcc knows is compiled by it; another (CUDA 13 no longer knows 70)
# by clang++-19 with the CUDA 12.9 root that tools/volta_toolkit.sh makes, taken from --toolkit,
# MOME_VOLTA_TOOLKIT or build/volta-toolkit. One that nothing here can compile is left out and told;
# --require-all makes that an error. nvcc is $CUDACXX, or the one in PATH, or /usr/local/cuda/bin/nvcc.
# Exit status: 0 done, 1 something does not compile, 2 wrong use, 3 no compiler here for any architecture.
set -euo pipefail

say() { echo "cuda_compile: $*" >&2; }
die() {
  say "$@"
  exit 1
}
usage() {
  say "$*; usage: tools/cuda_compile.sh [--arch 70,75,80,90] [--out DIR] [--toolkit DIR] [--require-all] [FILE.cu...]"
  exit 2
}

# Compilers run in the repository's root, and see sources by their path from there: so ccache finds a
# result again in another checkout. Paths given are the caller's.
root=$(cd "$(dirname "$0")/.." && pwd -P)
from_root() { realpath -m --relative-to="$root" -- "$1"; }

# The flags of the build itself (CMakeLists.txt): other ones would measure other kernels.
common_flags=(-std=c++20 -O3 -DNDEBUG -I.)
nvcc_flags=("${common_flags[@]}" -Xptxas -v)
clang_flags=("${common_flags[@]}" --cuda-device-only -Wno-unknown-cuda-version -Xcuda-ptxas -v)

# Compiles one file for one architecture; runs in a process of its own (see xargs below).
compile_one() {
  local compiler=$1 arch=$2 file=$3 base command
  base=$OUT/sm_$arch/$(basename "$file" .cu)
  if [ "$compiler" = nvcc ]; then
    # -c beside -cubin changes nothing for nvcc, but lets ccache keep the result.
    command=("$NVCC" "${nvcc_flags[@]}" "-arch=sm_$arch" -cubin -c "$file" -o "$base.cubin")
  else
    command=(clang++-19 -x cuda "${clang_flags[@]}" "--cuda-path=$TOOLKIT" "--cuda-gpu-arch=sm_$arch" -c "$file" -o "$base.cubin")
    export CCACHE_EXTRAFILES=$TOOLKIT/volta_toolkit.txt # a renewed root must not give old results
  fi
  command -v ccache > /dev/null && command=(ccache "${command[@]}")
  if ! "${command[@]}" > "$base.log" 2>&1; then
    {
      say "$file does not compile for sm_$arch:"
      grep -v '^ptxas info' "$base.log" | head -n 40
    } 2>&1 | sed 's/^/  /; 1s/^  //' >&2
    rm -f "$base.cubin"
    return 1
  fi
  # A warning of ptxas (a launch bound that cannot be met, a slow division) is seen nowhere else.
  grep -H -i 'warning' "$base.log" >&2 || true
}
if [ "${1-}" = --compile-one ]; then
  shift
  compile_one "$@"
  exit
fi

archs=70,75,80,90
out=build/cuda_code
toolkit=build/volta-toolkit
[ -z "${MOME_VOLTA_TOOLKIT-}" ] || toolkit=$(from_root "$MOME_VOLTA_TOOLKIT")
require_all=no
files=()
while [ $# -gt 0 ]; do
  case $1 in
    --arch | --out | --toolkit)
      [ -n "${2-}" ] || usage "$1 wants a value"
      case $1 in
        --arch) archs=$2 ;;
        --out) out=$(from_root "$2") ;;
        --toolkit) toolkit=$(from_root "$2") ;;
      esac
      shift
      ;;
    --require-all) require_all=yes ;;
    -*) usage "unknown option $1" ;;
    *) files+=("$(from_root "$1")") ;;
  esac
  shift
done
[[ $archs =~ ^[0-9]{2,3}[af]?(,[0-9]{2,3}[af]?)*$ ]] || usage "--arch $archs: expected numbers such as 70,75,90a"
cd "$root"
if [ ${#files[@]} = 0 ]; then
  mapfile -t files < <(compgen -G 'kernels/*/*_cuda.cu' | sort)
  [ ${#files[@]} -gt 0 ] || die "no kernels/*/*_cuda.cu here: name the files"
fi
for file in "${files[@]}"; do
  [ -f "$file" ] || die "$file: no such file"
  [ "${file%.cu}" != "$file" ] || die "$file: expected a file that ends in .cu"
done
same=$(for file in "${files[@]}"; do basename "$file" .cu; done | sort | uniq -d | head -n 1)
[ -z "$same" ] || die "two files are called $same.cu, their results would overwrite each other"

nvcc=${CUDACXX:-$(command -v nvcc || echo /usr/local/cuda/bin/nvcc)}
nvcc_codes=$("$nvcc" --list-gpu-code 2> /dev/null || true)
clang_lacks=
if ! command -v clang++-19 > /dev/null; then
  clang_lacks="clang++-19 is not installed (tools/setup.sh installs it where the system has it)"
elif [ ! -f "$toolkit/volta_toolkit.txt" ]; then
  clang_lacks="no CUDA 12.9 root in $toolkit (tools/volta_toolkit.sh $toolkit makes it)"
fi

jobs=()
done_archs=()
compilers=()
left_out=no
for arch in ${archs//,/ }; do
  if grep -qx "sm_${arch%[af]}" <<< "$nvcc_codes"; then
    compiler=nvcc
  elif [ -z "$clang_lacks" ]; then
    compiler=clang
  else
    if [ -n "$nvcc_codes" ]; then nvcc_lacks="$nvcc does not know it"; else nvcc_lacks="there is no nvcc"; fi
    say "sm_$arch is left out: $nvcc_lacks, and $clang_lacks"
    left_out=yes
    continue
  fi
  done_archs+=("sm_$arch")
  compilers+=("sm_$arch ($compiler)")
  for file in "${files[@]}"; do jobs+=("$compiler" "$arch" "$file"); done
done
[ $left_out = no ] || [ $require_all = no ] || die "not every architecture of $archs can be compiled here, and --require-all was given"
if [ ${#jobs[@]} = 0 ]; then
  say "nothing was compiled"
  exit 3
fi

rm -f "$out"/sm_*/*.cubin "$out"/sm_*/*.log
mkdir -p "${done_archs[@]/#/$out/}" || die "$out: the folders for the results cannot be made"
export OUT=$out TOOLKIT=$toolkit NVCC=$nvcc
begin=$SECONDS
printf '%s\0' "${jobs[@]}" | xargs -0 -n 3 -P "$(nproc)" tools/cuda_compile.sh --compile-one || {
  count=$(find "$out" -path "$out/sm_*/*.cubin" | wc -l)
  die "$((${#jobs[@]} / 3 - count)) of $((${#jobs[@]} / 3)) do not compile"
}
say "${#files[@]} files for ${compilers[*]} in $out, $((SECONDS - begin)) s"
