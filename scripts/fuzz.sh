#!/bin/bash
# Fuzzes the decoders and whole connections with libFuzzer. What it learns stays for the next run, below $LISAFS_CACHE/fuzz.
#
# usage: fuzz.sh [SECONDS [NAME]]
#   SECONDS   how long in all, 60 if not given
#   NAME      decode or connection; both in turns if not given, the decoders for a tenth of the time
#
# Wants root. Exits 0 if nothing was found; otherwise the input that does it is in $LISAFS_CACHE/fuzz/NAME.found.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

seconds=${1:-60}
[[ $seconds =~ ^[0-9]+$ && ${2:-decode} =~ ^(decode|connection)$ && $# -le 2 ]] || usage

"$ROOT/scripts/setup.sh"
bazel_run build --noshow_progress //tests/fuzz:all

# usage: fuzz NAME SECONDS
fuzz() {
  local learned=$LISAFS_CACHE/fuzz/$1 found=$LISAFS_CACHE/fuzz/$1.found
  mkdir -p "$learned" "$found"
  step "Fuzzing: $1, for $2 s"
  "$ROOT/bazel-bin/tests/fuzz/${1}_fuzzer" -max_total_time="$2" -timeout=60 -rss_limit_mb=4096 -print_final_stats=1 \
    -artifact_prefix="$found/" "$learned" "$ROOT/tests/fuzz/corpus/$1"
}

if (($# == 2)); then
  fuzz "$2" "$seconds"
else
  fuzz decode $((seconds / 10 + 1))
  fuzz connection $((seconds - seconds / 10))
fi
