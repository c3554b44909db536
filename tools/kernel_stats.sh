#!/usr/bin/env bash
# Tabulates what each CUDA kernel takes on each architecture, as CSV on standard output:
#   arch,kernel,registers,shared_bytes,stack_bytes,spill_store_bytes,spill_load_bytes,occupancy
# (tools/kernel_stats.py says what the columns mean).
#   tools/kernel_stats.sh [--no-spills] [OPTION...] [FILE.cu...]   compiles with tools/cuda_compile.sh, which
#                                                                  takes the other options and the files
#   tools/kernel_stats.sh [--no-spills] --logs DIR                 reads what it left in DIR; compiles nothing
# --no-spills: exit status 1 when a kernel spills registers, with a list of those on standard error.
# Exit status: 0 done, 1 failed (or a spill), 2 wrong use, 3 no compiler here for any architecture.
set -euo pipefail
tools=$(dirname "$0")

out=$tools/../build/cuda_code
logs=
check=()
pass_on=()
usage() {
  echo "kernel_stats: $*; usage: tools/kernel_stats.sh [--no-spills] [--logs DIR | options and files of tools/cuda_compile.sh]" >&2
  exit 2
}
while [ $# -gt 0 ]; do
  case $1 in
    --no-spills) check=(--no-spills) ;;
    --logs | --out)
      [ -n "${2-}" ] || usage "$1 wants a value"
      if [ "$1" = --logs ]; then
        logs=$2
      else
        out=$2
      fi
      shift
      ;;
    *) pass_on+=("$1") ;;
  esac
  shift
done
command -v python3 > /dev/null || { echo "kernel_stats: python3 not found" >&2; exit 1; }
if [ -n "$logs" ]; then
  [ ${#pass_on[@]} = 0 ] || usage "with --logs nothing is compiled, so ${pass_on[*]} has no use"
else
  "$tools/cuda_compile.sh" --out "$out" "${pass_on[@]}"
  logs=$out
fi
exec python3 "$tools/kernel_stats.py" "${check[@]}" "$logs"
