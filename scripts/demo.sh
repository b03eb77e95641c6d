#!/bin/bash
# Runs a container whose files reach it through LISAFS, and shows what its host's operator sees. Leaves nothing behind.
#
# usage: demo.sh
#
# On a fresh Debian 12, as root: installs what is missing and builds the programs first.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

(($# == 0)) || usage
((EUID == 0)) || die "wants root, as runc does"
"$ROOT/scripts/setup.sh" --build

work=$(mktemp -d /tmp/lisafs-demo.XXXXXX)
container=lisafs-demo-$$
socket=$work/control.sock
lisafsd_pid=
clean_up() {
  local status=$?
  if [[ -n $lisafsd_pid ]]; then
    lisafs-runtime delete --force "$container" >/dev/null 2>&1 || true
    kill "$lisafsd_pid" 2>/dev/null || true
    wait "$lisafsd_pid" 2>/dev/null || true
  fi
  rm -rf --one-file-system "$work"
  ((status == 0)) || printf '\nThe demonstration failed.\n' >&2
}
trap clean_up EXIT

# Under the programs' own names, so that what is shown can be typed.
lisafs-runtime() { "$work/bin/lisafs-runtime" --lisafsd "$socket" --root "$work/runc" "$@"; }
lisafsctl() { "$work/bin/lisafsctl" --socket "$socket" "$@"; }
inside() { lisafs-runtime exec "$container" /bin/sh -c "$1"; }

say() { printf '\n\033[1m== %s\033[0m\n' "$*"; }
# Shows a command, then runs it.
show() {
  printf '\033[2m$ %s\033[0m\n' "$*"
  "$@"
}

# Waits up to ten seconds for a command to succeed.
wait_for() {
  for _ in {1..100}; do
    "$@" >/dev/null 2>&1 && return
    sleep 0.1
  done
  die "timed out: $*"
}

make_bundle() {
  local root=$work/bundle/rootfs
  mkdir -p "$root"/{bin,dev,data,etc,proc,tmp} "$work/shared"
  cp /bin/busybox "$root/bin/"
  "$root/bin/busybox" --install "$root/bin"
  echo "written on the host" >"$work/shared/from-the-host"
  cat >"$work/bundle/config.json" <<CONFIG
{
  "ociVersion": "1.0.2",
  "process": {
    "user": {"uid": 0, "gid": 0},
    "cwd": "/",
    "env": ["PATH=/bin"],
    "args": ["/bin/sh", "-c", "while sleep 1; do date >> /data/clock; done"],
    "capabilities": {
      "bounding": ["CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_KILL"],
      "effective": ["CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_KILL"],
      "permitted": ["CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_KILL"]
    },
    "noNewPrivileges": true
  },
  "root": {"path": "rootfs"},
  "mounts": [
    {"destination": "/proc", "type": "proc", "source": "proc", "options": ["nosuid", "noexec", "nodev"]},
    {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755", "size=65536k"]},
    {"destination": "/data", "type": "bind", "source": "$work/shared", "options": ["bind", "rw", "nosuid", "nodev"]}
  ],
  "linux": {"namespaces": [{"type": "pid"}, {"type": "network"}, {"type": "ipc"}, {"type": "uts"}, {"type": "mount"}]}
}
CONFIG
}

say "Building the programs (the first time takes some minutes)"
show "$ROOT/scripts/install.sh" --prefix "$work"

say "Making a bundle: a busybox root, and a directory of the host bind-mounted on /data"
make_bundle
ls "$work/bundle"

say "Starting lisafsd, the control plane, on a socket of its own"
"$work/bin/lisafsd" --socket "$socket" --state-dir "$work/state" 2>"$work/lisafsd.log" &
lisafsd_pid=$!
wait_for lisafsctl sandboxes
mounts_before=$(sort /proc/self/mountinfo)

say "Starting the container: runc's own commands, with lisafs-runtime in runc's place"
command=(lisafs-runtime run --detach --bundle "$work/bundle" "$container")
# A detached container keeps the streams it was given.
printf '\033[2m$ %s\033[0m\n' "${command[*]}"
"${command[@]}" >"$work/container.log" 2>&1 </dev/null || {
  cat "$work/container.log" "$work/lisafsd.log" >&2
  die "the container did not start"
}

say "Working with files in the container"
inside '
  set -e
  echo "the container reads: $(cat /data/from-the-host)"
  echo "written in the container" > /data/from-the-container
  mkdir -p /tmp/tree/a /tmp/tree/b
  for i in 1 2 3 4 5 6 7 8; do
    dd if=/dev/zero of=/tmp/tree/a/$i bs=64k count=4 2>/dev/null
    mv /tmp/tree/a/$i /tmp/tree/b/$i
    chmod 640 /tmp/tree/b/$i
  done
  tar -cf /tmp/tree.tar -C /tmp/tree .
  rm -r /tmp/tree
  ls -l /tmp/tree.tar
'
echo "the host reads: $(cat "$work/shared/from-the-container")"

say "What the container's mounts are: FUSE file systems, and no path of the host"
inside 'grep fuse /proc/self/mountinfo'
if inside "grep $work /proc/self/mountinfo"; then die "a path of the host shows in the container"; fi

say "What the host's own mount table got from this: nothing"
diff <(echo "$mounts_before") <(sort /proc/self/mountinfo) && echo "unchanged"

say "What the operator sees"
show lisafsctl sandboxes
echo
show lisafsctl mounts "$container"
echo
show lisafsctl stats "$container"

say "How the gofer, the only process that touches the host's files, is confined"
gofer=$(lisafsctl --json sandboxes | grep -m 1 -oiE '"gofer_?pid": *[0-9]+' | grep -oE '[0-9]+')
grep -E '^(Name|Pid|CapEff|CapBnd|NoNewPrivs|Seccomp):' "/proc/$gofer/status"
echo "entries in its root directory: $(find "/proc/$gofer/root/" -mindepth 1 -maxdepth 1 | wc -l)"
for namespace in mnt net pid ipc; do
  [[ $(readlink "/proc/$gofer/ns/$namespace") != $(readlink "/proc/self/ns/$namespace") ]] || die "the gofer shares the host's $namespace namespace"
done
echo "namespaces of its own: mnt net pid ipc"

say "Deleting the container: everything goes with it"
show lisafs-runtime delete --force "$container"
show lisafsctl sandboxes
[[ ! -d /proc/$gofer ]] || die "the gofer is still there"
[[ $(lisafsctl --json sandboxes | grep -c "$container") == 0 ]] || die "the sandbox is still listed"
diff <(echo "$mounts_before") <(sort /proc/self/mountinfo) || die "mounts are left"
echo "no process, no mount, no sandbox is left"
