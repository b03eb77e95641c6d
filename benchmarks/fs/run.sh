#!/bin/bash
# Builds what the fs benchmark needs and runs it. Called by scripts/bench.sh with the arguments behind "fs".
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/../../scripts/common.sh"

here=$ROOT/benchmarks/fs
run() { /usr/bin/python3 -B "$here/bench_fs.py" --with-programs "$1" --with-operations "$1/operations" --with-root "$2" \
  --with-module "$3" --with-cache "$LISAFS_CACHE" "${@:4}"; }

# Help and bad usage need nothing built.
case " $* " in *" --help "* | *" -h "*) run / / / --help; exit ;; esac
run / / / --check "$@"
((EUID == 0)) || die "wants root, as runc does"

"$ROOT/scripts/setup.sh"
programs=$(mktemp -d)
trap 'rm -rf "$programs"' EXIT
step "Building"
"$ROOT/scripts/install.sh" --prefix "$programs"
bazel_run build --config=opt --noshow_progress //benchmarks/fs:operations >&2
cp "$(bazel_run info --config=opt bazel-bin 2>/dev/null)/benchmarks/fs/operations" "$programs/bin/"
module=$(cd "$ROOT/third_party/runsc" && "$GO" list -m -f '{{.Dir}}' gvisor.dev/gvisor)

run "$programs/bin" "$("$ROOT/tests/containers/make_debian_root.sh")" "$module" "$@"
