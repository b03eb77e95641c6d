#!/bin/bash
# Installs what is missing, builds everything and runs every test. Ends in a line "N passed, N failed", which counts test cases.
#
# usage: test.sh [--long] [--asan] [TARGET...]
#   --long    lets soak tests take their full time
#   --asan    runs the tests with the address and undefined behaviour sanitizers, but for those of programs that confine themselves
#   TARGET    Bazel targets to build and test instead of //...
#
# Exits 0 if everything was built, at least one test ran, and none failed.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

build_options=() test_options=(--nocache_test_results) targets=()
for argument; do
  case $argument in
    --long) test_options+=(--test_env=LISAFS_TEST_LONG=1 --test_timeout=7200) ;;
    --asan) build_options+=(--config=asan) test_options+=(--test_tag_filters=-noasan --build_tests_only) ;;
    -*) usage ;;
    *) targets+=("$argument") ;;
  esac
done
((${#targets[@]})) || targets=(//...)

"$ROOT/scripts/setup.sh"

events=$(mktemp)
trap 'rm -f "$events"' EXIT
quiet=(--keep_going --show_progress_rate_limit=10 --noshow_loading_progress)

step "Building ${targets[*]}"
built=0
if [[ ${build_options[*]-} != *asan* ]]; then
  bazel_run build "${quiet[@]}" "${test_options[@]}" -- "${targets[@]}" || built=$?
fi

step "Testing ${targets[*]}"
tested=0
bazel_run test "${quiet[@]}" "${build_options[@]}" "${test_options[@]}" --build_event_json_file="$events" -- "${targets[@]}" || tested=$?

step "Results"
((built == 0)) || echo "the build failed"
# 0: all passed; 3: some tests failed; 4: there are no tests. Anything else is a failure that no test case shows.
((tested == 0 || tested == 3)) || echo "bazel test ended with status $tested"
/usr/bin/python3 "$ROOT/scripts/summarize_tests.py" "$events" || exit 1
((built == 0 && tested == 0))
