#!/usr/bin/env bash
# Installs what the build needs (Debian 12), or fetches the quickstart's data packages.
#   tools/setup.sh            installs the build packages; does nothing when all are there
#   tools/setup.sh cuda       installs what compiles device code for V100 beside CUDA 13 (see
#                             tools/volta_toolkit.sh); optional: where that cannot be had, it says so and succeeds
#   tools/setup.sh slurm      installs Slurm for its test, which starts a cluster of this machine (as root); optional, too
#   tools/setup.sh data DIR   unpacks four data packages into DIR: nothing is installed, no root needed
set -euo pipefail

build_packages=(g++ cmake ninja-build ccache pkg-config libopenblas-openmp-dev libtomlplusplus-dev
  nlohmann-json3-dev libcli11-dev libfmt-dev libpugixml-dev libharfbuzz-dev libutf8proc-dev libstb-dev
  libjpeg62-turbo-dev libgtest-dev libbenchmark-dev libboost-context-dev libopenmpi-dev openmpi-bin)
device_code_packages=(clang-19)
slurm_packages=(slurm-wlm munge)
data_packages=(fonts-noto-color-emoji unicode-data unicode-cldr-core ruby-gemojione)

die() {
  echo "setup: $*" >&2
  exit 1
}

command -v apt-get > /dev/null || die "apt-get not found; this script is for Debian 12. Elsewhere, install: ${build_packages[*]}"

as_root() {
  if [ "$(id -u)" = 0 ]; then
    "$@"
  elif command -v sudo > /dev/null; then
    sudo "$@"
  else
    die "root is needed to install packages, and there is no sudo. Run as root: apt-get install ${missing[*]}"
  fi
}

# Sets missing to those of the packages named that are not installed.
find_missing() {
  local package
  missing=()
  for package in "$@"; do
    [ "$(dpkg-query -W -f='${db:Status-Status}' "$package" 2> /dev/null)" = installed ] || missing+=("$package")
  done
}

install_build_packages() {
  find_missing "${build_packages[@]}"
  if [ ${#missing[@]} = 0 ]; then
    echo "setup: all ${#build_packages[@]} build packages are installed"
    return
  fi
  echo "setup: installing ${missing[*]}"
  as_root apt-get update -q
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "${missing[@]}" \
    || die "apt-get could not install the packages above"
}

# Optional, so nothing in it ends the script: whoever needs the packages says that they are missing.
#   install_optional WHAT PACKAGE...
install_optional() {
  local what=$1
  shift
  find_missing "$@"
  if [ ${#missing[@]} = 0 ]; then
    echo "setup: all $# optional packages for $what are installed"
    return
  fi
  echo "setup: installing the optional ${missing[*]}"
  if ! apt-cache show "${missing[@]}" > /dev/null 2>&1; then # perhaps only because no list was fetched yet
    (as_root apt-get update -q) || true
  fi
  (as_root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "${missing[@]}") \
    || echo "setup: going on without the optional ${missing[*]}: there is no $what" >&2
}

# True when the data in $1 is whole: versions.txt is written last.
have_data() {
  local share=$1/usr/share file
  for file in "$1/versions.txt" "$share/fonts/truetype/noto/NotoColorEmoji.ttf" \
    "$share/unicode/emoji/emoji-test.txt" "$share/unicode/cldr/common/annotations/en.xml" \
    "$share/unicode/cldr/common/annotationsDerived/en.xml"; do
    [ -s "$file" ] || return 1
  done
  compgen -G "$share/rubygems-integration/all/gems/gemojione-*/assets/png/*.png" > /dev/null
}

fetch_data() {
  local dir=$1 package deb
  if have_data "$dir"; then
    echo "setup: the data packages are in $dir"
    return
  fi
  echo "setup: fetching ${data_packages[*]} (39 MB) into $dir"
  mkdir -p "$dir/deb"
  # As root apt would fetch as its own user, who may not write here; this is no installation.
  (cd "$dir/deb" && rm -f ./*.deb && apt-get -q -o APT::Sandbox::User="$(id -un)" download "${data_packages[@]}") \
    || die "apt-get could not fetch the packages; run \"apt-get update\" as root, then this again"
  local versions=
  for package in "${data_packages[@]}"; do
    deb=$(compgen -G "$dir/deb/${package}_*.deb") || die "$dir/deb: no $package in it after the download"
    dpkg-deb -x "$deb" "$dir" || die "$deb cannot be unpacked"
    versions+="$package $(dpkg-deb -f "$deb" Version)"$'\n'
  done
  printf '%s' "$versions" > "$dir/versions.txt"
  have_data "$dir" || die "$dir: a file that the quickstart needs is not in these packages: $(tr '\n' ';' < "$dir/versions.txt")"
  rm -r "$dir/deb"
}

case ${1-} in
  "") install_build_packages ;;
  cuda) install_optional "device code for V100 beside CUDA 13" "${device_code_packages[@]}" ;;
  slurm) install_optional "test of Slurm" "${slurm_packages[@]}" ;;
  data)
    [ $# = 2 ] || die "usage: tools/setup.sh data DIR"
    fetch_data "$2"
    ;;
  *) die "unknown argument $1; usage: tools/setup.sh [cuda | slurm | data DIR]" ;;
esac
