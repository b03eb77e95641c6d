#!/bin/bash
# Builds the programs, optimised, and copies them into one directory: they find each other as siblings.
#
# usage: install.sh [--prefix DIR]
#   --prefix DIR   copy to DIR/bin (/usr/local/bin by default)
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

programs=(
  control/lisafsctl
  control/lisafsd
  gofer/lisafs-gofer
  plugin/lisafs-plugin
  sandbox/lisafs-runsc
  sandbox/lisafs-runtime
  sandbox/lisafs-runtime-sandbox
)

prefix=/usr/local
case ${1-} in
  --prefix) prefix=${2:?--prefix wants a directory} ;;
  '') ;;
  *) usage ;;
esac

labels=()
for program in "${programs[@]}"; do labels+=("//${program%/*}:${program##*/}"); done
bazel_run build --config=opt --show_progress_rate_limit=10 --noshow_loading_progress "${labels[@]}" >&2
built=$(bazel_run info --config=opt bazel-bin 2>/dev/null)

mkdir -p "$prefix/bin"
for program in "${programs[@]}"; do
  # A running program's file cannot be written, but it can be replaced.
  install -m 755 "$built/$program" "$prefix/bin/.${program##*/}.new"
  mv "$prefix/bin/.${program##*/}.new" "$prefix/bin/${program##*/}"
done
