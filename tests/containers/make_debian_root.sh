#!/bin/bash
# Makes the Debian root file system that tests run containers on, unless it is there already, and prints its path.
#
# It lies in ${LISAFS_CACHE:-/var/cache/lisafs}/debian-root-HASH, where HASH follows from this script, so that a changed
# list of packages makes a new one. It appears whole or not at all. Nobody writes to it: a test works on a copy or
# under an overlay. Needs root, mmdebstrap and Debian's package mirror.
set -euo pipefail

packages=(
  acl
  attr
  gcc
  git
  libc6-dev
  procps
  python3
  sqlite3
)

cache="${LISAFS_CACHE:-/var/cache/lisafs}"
root="$cache/debian-root-$(sha256sum "${BASH_SOURCE[0]}" | cut -c 1-12)"
mkdir -p "$cache"

# Two tests that need it at once make it once.
exec 9>"$cache/debian-root.lock"
flock 9

if [[ ! -d "$root" ]]; then
  unfinished="$root.unfinished"
  rm -rf --one-file-system "$unfinished"
  mmdebstrap --quiet --mode=root --variant=essential --format=directory \
    --include="$(IFS=,; echo "${packages[*]}")" \
    --aptopt='APT::Install-Recommends "false"' \
    --aptopt='Acquire::Languages "none"' \
    --dpkgopt='path-exclude=/usr/share/doc/*' \
    --dpkgopt='path-exclude=/usr/share/locale/*' \
    --dpkgopt='path-exclude=/usr/share/man/*' \
    bookworm "$unfinished" >&2
  rm -rf "$unfinished"/var/lib/apt/lists/* "$unfinished"/var/cache/apt/*.bin
  mv "$unfinished" "$root"
fi

echo "$root"
