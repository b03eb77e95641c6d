#!/bin/bash
# Runs clang-tidy with the root .clang-tidy. Prints what it finds.
#
# usage: tidy.sh [FILE...]
#   FILE   C++ sources; all of the project's if none is given
#
# Wants clang-tidy (Debian's package of that name). Exits 0 if nothing was found.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

[[ ${1-} != -* ]] || usage
command -v clang-tidy >/dev/null || die "wants clang-tidy: apt-get install clang-tidy"
files=("$@")
if ((${#files[@]} == 0)); then
  mapfile -t files < <(cd "$ROOT" && git ls-files '*.cc')
  files=("${files[@]/#/$ROOT/}")
fi

# The headers that protoc makes.
bazel_run build --noshow_progress --ui_event_filters=-info //proto/... >&2
generated=$(bazel_run info bazel-bin 2>/dev/null)

# shellcheck disable=SC2016
printf '%s\0' "${files[@]}" | xargs -0 -n 1 -P "$(nproc)" sh -c '
  output=$(clang-tidy --quiet "$3" -- -x c++ -std=c++20 -I"$1" -I"$2" 2>/dev/null) || { echo "$output"; exit 1; }
' tidy "$ROOT" "$generated" || exit 1
