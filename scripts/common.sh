#!/bin/bash
# shellcheck disable=SC2034
# What every script here shares; to be sourced.

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

# Whatever is downloaded, and whatever is built once for many runs, lives here.
export LISAFS_CACHE=${LISAFS_CACHE:-/var/cache/lisafs}

# Where Go keeps what it downloads and builds, apart from the user's own.
export GOPATH=$LISAFS_CACHE/go GOCACHE=$LISAFS_CACHE/go/build GOTOOLCHAIN=local
GO=$LISAFS_CACHE/bin/go
VENV=$LISAFS_CACHE/venv

# A line before each step, on stderr, so that stdout stays free for results.
step() { printf '\n\033[1m== %s\033[0m\n' "$*" >&2; }

die() {
  printf '%s: %s\n' "$(basename "$0")" "$*" >&2
  exit 1
}

# Shows the usage in the script's first comment.
usage() {
  sed -n '/^# usage:/,/^$/s/^# \?//p' "$0" >&2
  exit 2
}

# Runs Bazel as everywhere in the project: Debian's compilers before any others on PATH, and results shared between clones.
# usage: bazel_run COMMAND ARGUMENT...
bazel_run() {
  local command=$1
  shift
  (cd "$ROOT" && PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    bazel "$command" --disk_cache="$LISAFS_CACHE/bazel" "$@")
}
