#!/bin/bash
# Builds the programs, optimised, and copies them into one directory: they find each other as siblings.
#
# usage: install.sh [--prefix DIR] [--service]
#   --prefix DIR   copy to DIR/bin (/usr/local/bin by default)
#   --service      also install lisafsd as a systemd service, not yet enabled, and /etc/lisafs/lisafsd.toml if there is none
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

programs=(
  broker/lisafs-broker
  control/lisafsctl
  control/lisafsd
  gofer/lisafs-gofer
  plugin/lisafs-plugin
  sandbox/lisafs-runsc
  sandbox/lisafs-runtime
  sandbox/lisafs-runtime-sandbox
  waker/lisafs-waker
)

prefix=/usr/local
service=
while (($#)); do
  case $1 in
    --prefix)
      prefix=${2:?--prefix wants a directory}
      shift
      ;;
    --service) service=yes ;;
    *) usage ;;
  esac
  shift
done

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

[[ $service ]] || exit 0
mkdir -p /etc/systemd/system /etc/lisafs
for unit in lisafsd.service lisafsd.socket; do
  sed "s|@BIN@|$prefix/bin|" "$ROOT/scripts/service/$unit" >"/etc/systemd/system/$unit"
done
[[ -e /etc/lisafs/lisafsd.toml ]] || install -m 644 "$ROOT/scripts/service/lisafsd.toml" /etc/lisafs/lisafsd.toml
echo "systemctl daemon-reload && systemctl enable --now lisafsd.socket starts it" >&2
