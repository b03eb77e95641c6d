#!/bin/bash
# Runs a Go command on the packages in go/, with one of gVisor's vintages.
#
# usage: run_go.sh newest|december2022 build|test ARGUMENT...
#
# Ends with status 77, and the reason on stdout, where that vintage is not installed; scripts/setup.sh does it.
set -euo pipefail
vintage=$1 command=$2
shift 2
cache=${LISAFS_CACHE:-/var/cache/lisafs}
# The folder itself, not the links to its files in a test's runfiles.
sources=$(dirname "$(realpath "$(dirname "${BASH_SOURCE[0]}")/go/go.mod")")

# usage: need PATH. Of what scripts/setup.sh installs.
need() {
  [[ -e $1 ]] && return
  echo "there is no $1; run scripts/setup.sh"
  exit 77
}

# A path as long as Bazel's own is no good for a socket's name, and a donated descriptor wants a real file system.
export TMPDIR=/tmp
# Other languages' tools are nothing that the build may depend on, and nothing is downloaded here.
export CGO_ENABLED=0 GOTOOLCHAIN=local GOPROXY=off GOCACHE=$cache/go/build

case $vintage in
  newest)
    need "$cache/bin/go"
    need "$cache/go/pkg/mod/gvisor.dev"
    cd "$sources"
    GOPATH=$cache/go GOFLAGS='-mod=readonly -buildvcs=false' exec "$cache/bin/go" "$command" "$@"
    ;;
  december2022)
    go=/usr/lib/go-1.19/bin/go packages=/usr/share/gocode
    gvisor=$packages/src/gvisor.dev/gvisor
    need "$go"
    need "$gvisor"
    path=$(mktemp -d)
    trap 'rm -rf "$path"' EXIT
    mkdir -p "$path/src/lisafs/tests"
    ln -s "$sources" "$path/src/lisafs/tests/interop"
    # Debian leaves the sandbox's vDSO empty, and a program with gVisor's configuration in it looks for one symbol there when it starts.
    printf '.globl __kernel_rt_sigreturn\n__kernel_rt_sigreturn:\n' | as -o "$path/vdso.o"
    printf 'package vdsodata\n\nvar Binary = []byte("%s")\n' "$(od -An -v -tx1 "$path/vdso.o" | tr -d '\n' | sed 's/ /\\x/g')" >"$path/vdsodata.go"
    printf '{"Replace": {"%s": "%s"}}' "$gvisor/pkg/sentry/loader/vdsodata/vdsodata.go" "$path/vdsodata.go" >"$path/overlay.json"
    [[ $command != test ]] || set -- -vet=off "$@"  # It does not know about overlays.
    GO111MODULE=off GOPATH=$path:$packages GOFLAGS='' "$go" "$command" -tags december2022 -overlay "$path/overlay.json" "$@"
    ;;
esac
