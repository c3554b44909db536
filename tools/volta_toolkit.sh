#!/usr/bin/env bash
# Puts together a CUDA 12.9 root from PyPI wheels, for building for V100 (sm_70) where only CUDA 13,
# which no longer knows it, is installed. clang++-19 --cuda-path=DIR compiles with it.
#   tools/volta_toolkit.sh DIR                  compiler parts, headers, static runtime (47 MB to fetch, 120 MB in DIR)
#   tools/volta_toolkit.sh DIR --with-cublas    cuBLAS and NCCL as well, for linking (980 MB, 1.5 GB)
# Nothing is installed into Python. DIR is made as DIR.tmp and renamed: it is whole or not there.
# Done before, it says so. Exit status: 0 it is there, 1 it could not be made, 2 wrong use.
set -euo pipefail

# Pinned: the last toolkit with sm_70, and libraries that were seen to hold code for it.
wheels=(nvidia-cuda-nvcc-cu12==12.9.86 nvidia-cuda-runtime-cu12==12.9.79 nvidia-cuda-cccl-cu12==12.9.27)
wanted_files=(bin/ptxas nvvm/libdevice/libdevice.10.bc include/crt/host_config.h include/cuda.h
  include/cuda_runtime.h include/cuda_fp16.h include/cuda_bf16.h include/nv/target lib/libcudart_static.a)
need_mb=250 # wheels and what comes out of them, which lie side by side for a moment

die() {
  echo "volta_toolkit: $*" >&2
  exit 1
}
usage() {
  echo "volta_toolkit: $*; usage: tools/volta_toolkit.sh DIR [--with-cublas]" >&2
  exit 2
}

dir=
with_cublas=no
for argument in "$@"; do
  case $argument in
    --with-cublas) with_cublas=yes ;;
    -*) usage "unknown option $argument" ;;
    *)
      [ -z "$dir" ] || usage "one folder is wanted, not \"$dir\" and \"$argument\""
      dir=${argument%/}
      ;;
  esac
done
[ -n "$dir" ] || usage "the folder to make is missing"
if [ $with_cublas = yes ]; then
  wheels+=(nvidia-cublas-cu12==12.9.1.4 nvidia-nccl-cu12==2.32.3)
  wanted_files+=(include/cublasLt.h lib/libcublas.so.12 lib/libcublasLt.so.12 include/nccl.h lib/libnccl.so.2)
  need_mb=2700
fi

# The list of wheels in a root that this script finished.
contents=volta_toolkit.txt

# True when the root holds every wanted wheel in the wanted version.
have_root() {
  local wheel
  [ -f "$dir/$contents" ] || return 1
  for wheel in "${wheels[@]}"; do
    grep -qxF "$wheel" "$dir/$contents" || return 1
  done
}

if have_root; then
  echo "volta_toolkit: $dir is there: $(tr '\n' ' ' < "$dir/$contents")"
  exit 0
fi
if [ -e "$dir" ] && [ ! -f "$dir/$contents" ] && { [ ! -d "$dir" ] || [ -n "$(ls -A "$dir")" ]; }; then
  die "$dir exists and was not made by this script: name a new folder, or remove it"
fi
# Other versions are there. A renewal must not drop cuBLAS, which a build in use may link.
if [ $with_cublas = no ] && grep -qs '^nvidia-cublas' "$dir/$contents"; then
  die "$dir holds cuBLAS and other versions: say --with-cublas to renew it, or remove it"
fi

command -v python3 > /dev/null || die "python3 not found: it fetches and unpacks the wheels (Debian: apt-get install python3-pip)"
python3 -c 'import pip' 2> /dev/null || die "python3 has no pip (Debian: apt-get install python3-pip)"

tmp=$dir.tmp
mkdir -p "$tmp" || die "$tmp cannot be made"
exec {lock}< "$tmp"
flock -n "$lock" || die "$tmp: another run is making it"
trap 'rm -rf "$tmp"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
rm -rf "${tmp:?}"/* # what a killed run left
free_mb=$(df -Pm "$tmp" | awk 'NR == 2 { print $4 }')
[ "$free_mb" -ge "$need_mb" ] || die "$tmp: $free_mb MB free, $need_mb MB are needed"
mkdir "$tmp/wheels" "$tmp/unpacked" "$tmp/root"

echo "volta_toolkit: fetching ${wheels[*]}"
# TMPDIR: pip gathers a wheel there before it moves it, and the usual one may be too small for cuBLAS.
TMPDIR=$(realpath "$tmp/unpacked") python3 -m pip download --quiet --disable-pip-version-check --no-cache-dir --no-deps \
  --only-binary :all: --dest "$tmp/wheels" "${wheels[@]}" \
  || die "pip could not fetch the wheels; its message above says why (no network, no wheel for this system, disk full)"

python3 - "$tmp/unpacked" "$tmp/wheels"/*.whl << 'UNPACK' || exit 1
import os, sys, zipfile
for wheel in sys.argv[2:]:
    try:
        zipfile.ZipFile(wheel).extractall(sys.argv[1])
    except (OSError, zipfile.BadZipFile) as error:
        sys.exit(f"volta_toolkit: {os.path.basename(wheel)} cannot be unpacked: {error}")
    os.remove(wheel)
UNPACK
# Each wheel has its own root nvidia/PART; cp -l only links, so nothing is there twice.
compgen -G "$tmp/unpacked/nvidia/*/" > /dev/null || die "wrong wheel layout: no folder nvidia/PART in the wheels"
for part in "$tmp"/unpacked/nvidia/*/; do
  cp -rlf "$part." "$tmp/root" || die "$part cannot be merged"
done
find "$tmp/root" -name __init__.py -delete
for file in "${wanted_files[@]}"; do
  [ -s "$tmp/root/$file" ] || die "wrong wheel layout: $file is in none of ${wheels[*]}"
done

chmod +x "$tmp"/root/bin/*
ln -s lib "$tmp/root/lib64"
for library in "$tmp"/root/lib/*.so.*; do # the linker looks for names without a version
  [ -e "$library" ] && ln -sf "${library##*/}" "${library%.so.*}.so"
done

# fatbinary is in no wheel. CUDA 13's does it, but neither takes clang's form of --image nor accepts
# --image=profile=sm_70; the newer --image3 form says the same and is accepted.
cat > "$tmp/root/bin/fatbinary" << 'WRAPPER'
#!/usr/bin/env bash
# Passes clang's call on to an installed toolkit's fatbinary, in the form that takes sm_70.
set -euo pipefail
arguments=()
for argument in "$@"; do
  if [[ $argument =~ ^--image=profile=(sm|compute)_([0-9]+[a-z]?),file=(.*)$ ]]; then
    kind=elf
    [ "${BASH_REMATCH[1]}" = sm ] || kind=ptx
    argument="--image3=kind=$kind,sm=${BASH_REMATCH[2]},file=${BASH_REMATCH[3]}"
  fi
  arguments+=("$argument")
done
mapfile -t candidates < <(type -aP fatbinary)
[ -z "${CUDA_PATH-}" ] || candidates=("$CUDA_PATH/bin/fatbinary" "${candidates[@]}")
for program in "${candidates[@]}" /usr/local/cuda/bin/fatbinary; do
  [ -x "$program" ] && ! [ "$program" -ef "$0" ] && exec "$program" "${arguments[@]}"
done
echo "fatbinary: no CUDA toolkit's fatbinary in PATH, CUDA_PATH or /usr/local/cuda; linking needs one" >&2
exit 1
WRAPPER

# CMake finds the root of a clang CUDA build by asking nvcc two questions; this answers them.
cat > "$tmp/root/bin/nvcc" << 'STANDIN'
#!/usr/bin/env bash
# Tells CMake where this root is and its version. It compiles nothing: clang++-19 does.
case "$*" in
  --version) echo "Cuda compilation tools, release 12.9, V12.9.86" ;;
  "-v __cmake_determine_cuda") echo "#\$ TOP=$(realpath "$(dirname "$0")/..")" ;;
  *)
    echo "nvcc: this root has no nvcc; compile with clang++-19 --cuda-path=$(realpath "$(dirname "$0")/..")" >&2
    exit 1
    ;;
esac
STANDIN
chmod +x "$tmp/root/bin/fatbinary" "$tmp/root/bin/nvcc"

"$tmp/root/bin/ptxas" --version | grep -q 'release 12\.9' || die "bin/ptxas of the wheels does not run here as CUDA 12.9's"
printf '%s\n' "${wheels[@]}" > "$tmp/root/$contents"

rm -rf "$dir" # empty, or an earlier root that lacked something
mv -T "$tmp/root" "$dir" || die "$tmp/root cannot be renamed to $dir"
echo "volta_toolkit: made $dir: CUDA 12.9 for sm_70; compile with clang++-19 --cuda-path=$dir --cuda-gpu-arch=sm_70"
