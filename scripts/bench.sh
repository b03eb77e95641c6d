#!/bin/bash
# Runs one benchmark, side by side with its peers.
#
# usage: bench.sh rpc [channel|socket|one-cpu] [--json]
#        bench.sh counting
#        bench.sh gofer [--json]
#        bench.sh fuse [--json]
#        bench.sh listing [--json]
#        bench.sh fs [start|operations|fio|trees] [--json] [--quick] [--rounds N] [--systems NAME,...] [--plot FILE.svg] [--directory DIR] [--annotation KEY=VALUE]
#   rpc      one null request and its answer between two processes: over shared memory (channel), with both processes on one CPU
#            (one-cpu), and over a socket
#   counting what the counters cost a null request, on a CPU each and on one
#   gofer    file operations of gVisor's own client, one at a time, on lisafs-gofer and on gVisor's gofer;
#            "null" is a server that answers at once without any work, the bound of what a gofer can reach with this client
#   fuse     single operations on a mount of lisafs, with FUSE as ever and over io_uring, by one process and by several
#   listing  directories of several sizes, on a mount of lisafs that nobody else changes and by themselves, in turns
#   fs       containers' files through lisafs and its peers: how long one takes to start, operations on single files, fio, and work on whole trees;
#            "fs --help" says what its options do
#   --json   one JSON object on stdout and nothing else, instead of a table
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

if [[ ${1-} == fs ]]; then exec "$ROOT/benchmarks/fs/run.sh" "${@:2}"; fi
name=${1-}
shift || usage
arguments=()
for argument; do
  case $name:$argument in
    rpc:channel | rpc:socket | rpc:one-cpu | *:--json) arguments+=("$argument") ;;
    *) usage ;;
  esac
done

# Builds Bazel's target as $programs/NAME.
# usage: build_cc ROOM NAME
build_cc() {
  bazel_run build --config=opt --noshow_progress "//$1:$2" >&2
  cp "$(bazel_run info --config=opt bazel-bin 2>/dev/null)/$1/$2" "$programs/$2"
}

# Builds a package of benchmarks/go, with the newest gVisor as a module, as $programs/NAME.
# usage: build_go PACKAGE NAME
build_go() {
  (cd "$ROOT/benchmarks/go" && CGO_ENABLED=0 GOPROXY=off "$GO" build -o "$programs/$2" "$1") >&2
}

prepare() {
  "$ROOT/scripts/setup.sh"
  step "Building"
  programs=$(mktemp -d)
  trap 'rm -rf "$programs"' EXIT
}

case $name in
  rpc)
    prepare
    build_cc benchmarks rpc
    build_go . rpc-gvisor
    # Debian's gVisor, from before it gave up 9P, the way Debian builds Go programs. One file of ours becomes a part of its package p9.
    gocode=/usr/share/gocode
    printf '{"Replace": {"%s": "%s"}}' "$gocode/src/gvisor.dev/gvisor/pkg/p9/exchange.go" "$ROOT/benchmarks/go/p9_exchange.go" >"$programs/overlay.json"
    (cd "$ROOT/benchmarks/go" && CGO_ENABLED=0 GO111MODULE=off GOPATH=$gocode GOFLAGS='' /usr/lib/go-1.19/bin/go build \
      -tags p9 -overlay "$programs/overlay.json" -o "$programs/rpc-p9" measure.go p9.go) >&2 || rm -f "$programs/rpc-p9"
    ;;
  counting)
    prepare
    build_cc benchmarks rpc
    "$programs/rpc" counting
    taskset --cpu-list 0 "$programs/rpc" counting
    exit
    ;;
  gofer)
    [[ $EUID == 0 ]] || die "gofer: must run as root, since lisafs-gofer confines itself"
    prepare
    build_cc gofer lisafs-gofer
    build_cc benchmarks null-gofer
    build_go ./gofer bench-gofer
    ;;
  fuse | listing)
    [[ $EUID == 0 ]] || die "$name: must run as root, since it mounts"
    TMPDIR=/dev/shm prepare # It has a /tmp of its own.
    mkdir "$programs/gofer" "$programs/plugin"
    build_cc benchmarks "$name"
    build_cc gofer lisafs-gofer
    build_cc plugin lisafs-plugin
    mv "$programs/lisafs-gofer" "$programs/gofer"
    mv "$programs/lisafs-plugin" "$programs/plugin"
    ;;
  *) usage ;;
esac

/usr/bin/python3 -B "$ROOT/scripts/bench_$name.py" "$programs" "${arguments[@]}"
