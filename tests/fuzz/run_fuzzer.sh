#!/bin/bash
# Runs a fuzzer from a corpus and fails if it finds something; the input that does it is then in the test's outputs.
# usage: run_fuzzer.sh PROGRAM SECONDS CORPUS
set -euo pipefail
program=$(realpath "$1") seconds=$2 corpus=$(realpath "$3")

# A fuzzer that cannot run here.
readonly skipped=77
# libFuzzer adds what it learns to the first directory. All are given by their whole names, since a gofer's handlers move to another.
learned=$(mktemp -d)
log=$(mktemp)
trap 'rm -rf "$learned" "$log"' EXIT
status=0
"$program" -max_total_time="$seconds" -timeout=60 -rss_limit_mb=4096 -artifact_prefix="$TEST_UNDECLARED_OUTPUTS_DIR/" \
  "$learned" "$corpus" >"$log" 2>&1 || status=$?
grep -v '# Uses: ' "$log" | tail -n 40
if ((status == skipped)); then
  printf '<testsuites><testsuite><testcase classname="Fuzz" name="%s"><skipped message="%s"/></testcase></testsuite></testsuites>\n' \
    "$(basename "$program")" "$(grep -m1 'cannot' "$log" | tr -d '<>&"')" >"$XML_OUTPUT_FILE"
  exit 0
fi
exit "$status"
