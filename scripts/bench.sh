#!/bin/bash
# Runs one benchmark, side by side with its peers.
#
# usage: bench.sh rpc [channel|socket] [--json]
#        bench.sh fs [operations|fio|trees] [--json] [--quick] [--rounds N] [--systems NAME,...] [--plot FILE.svg] [--directory DIR]
#   rpc      one null request and its answer between two processes, over shared memory (channel) and over a socket
#   fs       containers' files through lisafs and its peers: operations on single files, fio, and work on whole trees;
#            "fs --help" says what its options do
#   --json   one JSON object on stdout and nothing else, instead of a table
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

if [[ ${1-} == fs ]]; then exec "$ROOT/benchmarks/fs/run.sh" "${@:2}"; fi
[[ ${1-} == rpc ]] || usage
shift
arguments=()
for argument; do
  case $argument in
    channel | socket | --json) arguments+=("$argument") ;;
    *) usage ;;
  esac
done

"$ROOT/scripts/setup.sh"

step "Building"
bazel_run build --config=opt --noshow_progress //benchmarks:rpc >&2
programs=$(mktemp -d)
trap 'rm -rf "$programs"' EXIT
cp "$(bazel_run info --config=opt bazel-bin 2>/dev/null)/benchmarks/rpc" "$programs/rpc"
# The newest gVisor, as a module.
(cd "$ROOT/benchmarks/go" && CGO_ENABLED=0 GOPROXY=off "$GO" build -o "$programs/rpc-gvisor" .) >&2
# Debian's, from before gVisor gave up 9P, the way Debian builds Go programs. One file of ours becomes a part of its package p9.
gocode=/usr/share/gocode
printf '{"Replace": {"%s": "%s"}}' "$gocode/src/gvisor.dev/gvisor/pkg/p9/exchange.go" "$ROOT/benchmarks/go/p9_exchange.go" >"$programs/overlay.json"
(cd "$ROOT/benchmarks/go" && CGO_ENABLED=0 GO111MODULE=off GOPATH=$gocode GOFLAGS='' /usr/lib/go-1.19/bin/go build \
  -tags p9 -overlay "$programs/overlay.json" -o "$programs/rpc-p9" measure.go p9.go) >&2 || rm -f "$programs/rpc-p9"

/usr/bin/python3 -B "$ROOT/scripts/bench_rpc.py" "$programs" "${arguments[@]}"
