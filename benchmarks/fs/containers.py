"""The systems that are measured: each runs a container of the same root, with a directory of its own on /mnt."""

import json
import os
import pathlib
import shutil
import subprocess
import time

# Where a container finds what. A root that nobody may change has directories for these already.
WORK = "/mnt"
TOOLS = "/opt"


class Failure(Exception):
    """Why a system, or a piece of work on it, could not be measured."""


def run(*command, timeout=600, **options):
    """What a command writes to stdout."""
    command = [str(argument) for argument in command]
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=timeout,
                              errors="replace", check=False, **options)
    except OSError as error:
        raise Failure(f"{command[0]}: {error.strerror}") from error
    except subprocess.TimeoutExpired as error:
        raise Failure(f"{' '.join(command)}: took more than {timeout} s") from error
    if done.returncode != 0:
        said = done.stderr.strip().splitlines()[-1:] or [f"status {done.returncode}"]
        raise Failure(f"{' '.join(command)}: {said[0]}")
    return done.stdout


def bundle_config(root, work, tools, annotations):
    capabilities = ["CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_FSETID", "CAP_SETGID", "CAP_SETUID"]
    environment = ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/tmp", "LC_ALL=C.UTF-8", "GIT_OPTIONAL_LOCKS=0"]

    def bind(source, destination, mode):
        return {"destination": destination, "type": "bind", "source": str(source), "options": ["bind", mode, "rprivate"]}

    def tmpfs(destination, mode):
        return {"destination": destination, "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", f"mode={mode}"]}

    return {
        "ociVersion": "1.0.2",
        "process": {
            "user": {"uid": 0, "gid": 0},
            "args": ["sleep", "1000000"],
            "env": environment,
            "cwd": "/",
            "capabilities": {kind: capabilities for kind in ("bounding", "effective", "permitted")},
        },
        "annotations": annotations,
        "root": {"path": str(root), "readonly": True},
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc"},
            tmpfs("/dev", "755"),
            tmpfs("/tmp", "1777"),
            bind(work, WORK, "rw"),
            bind(tools, TOOLS, "ro"),
        ],
        "linux": {"namespaces": [{"type": kind} for kind in ("pid", "network", "ipc", "uts", "mount")]},
    }


class System:
    """One container at a time, whose files come through what a subclass says.

    `place` holds, all on one file system: `root`, the container's root; `tools`, what it finds on TOOLS; and for each system a
    directory of its own, in which `work` is what it finds on WORK.
    """

    name = "native"
    needs = ["runc"]

    def __init__(self, place, programs, cache, annotations):
        self.annotations = annotations
        self.place = place
        self.programs = programs
        self.cache = cache
        self.own = place / self.name
        self.container = f"{place.name}-{self.name}"
        self.runs = 0

    @property
    def work(self):
        return self.own / "work"

    def runtime(self):
        """The runtime and its flags."""
        return ["runc", "--root", self.own / "state"]

    def share(self, directory, name):
        """What stands for a directory of the host in the bundle."""
        del name
        return directory

    def start(self):
        for program in self.needs:
            if not shutil.which(program):
                raise Failure(f"there is no program {program}")
        root = self.share(self.place / "root", "root")
        work = self.share(self.work, "work-mount")
        tools = self.share(self.place / "tools", "tools")
        bundle = self.own / "bundle"
        bundle.mkdir(exist_ok=True)
        (bundle / "config.json").write_text(json.dumps(bundle_config(root, work, tools, self.annotations)), encoding="utf-8")
        log = self.own / "log"
        # What stays behind keeps the streams it was given.
        with open(log, "wb") as stream:
            started = subprocess.run([str(argument) for argument in [*self.runtime(), "run", "--detach", "--bundle", bundle, self.container]],
                                     stdin=subprocess.DEVNULL, stdout=stream, stderr=stream, timeout=120, check=False)
        if started.returncode != 0:
            raise Failure((log.read_text(errors="replace").strip().splitlines() or ["did not start"])[-1])

    def run(self, *command):
        return run(*self.runtime(), "exec", self.container, *command)

    def run_once(self):
        """Milliseconds that a container of its own takes which does nothing."""
        bundle = self.own / "once"
        if not bundle.exists():
            bundle.mkdir()
            config = json.loads((self.own / "bundle/config.json").read_text(encoding="utf-8"))
            config["process"]["args"] = ["true"]
            (bundle / "config.json").write_text(json.dumps(config), encoding="utf-8")
        # What lisafs keeps of a container goes some milliseconds after it, and whoever wants its id again waits for that.
        self.runs += 1
        time.sleep(0.03)  # The last one's processes are ending.
        before = time.monotonic()
        run(*self.runtime(), "run", "--bundle", bundle, f"{self.container}-once{self.runs}")
        return (time.monotonic() - before) * 1000

    def memory(self):
        """MiB that the container's file servers have to themselves, with their share of what they have in common with others."""
        return None

    def stop(self):
        try:
            run(*self.runtime(), "delete", "--force", self.container, timeout=60)
        except Failure:
            pass  # There was none.


class Lisafs(System):
    name = "lisafs"

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.daemon = None
        # Short: a socket's path has its limits.
        self.socket = self.own / "sock"

    def runtime(self):
        return [self.programs / "lisafs-runtime", "--lisafsd", self.socket, "--root", self.own / "state"]

    def start(self):
        with open(self.own / "lisafsd.log", "ab") as log:
            self.daemon = subprocess.Popen([self.programs / "lisafsd", "--socket", self.socket, "--state-dir", self.own / "sandboxes"],
                                           stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        deadline = time.monotonic() + 20
        while not self.socket.exists():
            if self.daemon.poll() is not None or time.monotonic() > deadline:
                raise Failure("lisafsd does not answer")
            time.sleep(0.05)
        super().start()

    def stop(self):
        super().stop()
        if self.daemon is not None:
            self.daemon.terminate()
            self.daemon.wait()


    def memory(self):
        kibibytes = 0
        for process in pathlib.Path("/proc").glob("[0-9]*"):
            try:
                program = pathlib.Path(os.readlink(process / "exe"))
                if program.parent == self.programs and program.name in ("lisafs-gofer", "lisafs-plugin", "lisafs-broker"):
                    kibibytes += sum(int(line.split()[1]) for line in (process / "smaps_rollup").read_text().splitlines() if line.startswith("Pss:"))
            except OSError:
                pass  # It has ended, or is the kernel's.
        return kibibytes / 1024


class FuseMounts(System):
    """Systems that are mounts of their own on the host, under plain runc."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.mounted = []

    def mount(self, directory, at):
        raise NotImplementedError

    def share(self, directory, name):
        at = self.own / name
        at.mkdir(exist_ok=True)
        run(*self.mount(directory, at), timeout=60)
        self.mounted.append(at)
        return at

    def stop(self):
        super().stop()
        while self.mounted:
            run("umount", "--lazy", self.mounted.pop(), timeout=60)


class Bindfs(FuseMounts):
    name = "bindfs"
    needs = ["runc", "bindfs"]

    def mount(self, directory, at):
        return ["bindfs", "--multithreaded", "-o", "allow_other", directory, at]


class FuseOverlayfs(FuseMounts):
    name = "fuse-overlayfs"
    needs = ["runc", "fuse-overlayfs"]

    def mount(self, directory, at):
        lower, scratch = self.own / (at.name + "-lower"), self.own / (at.name + "-scratch")
        lower.mkdir(exist_ok=True)
        scratch.mkdir(exist_ok=True)
        if directory == self.work:
            layers = f"lowerdir={lower},upperdir={directory},workdir={scratch}"
        else:
            layers = f"lowerdir={directory}"
        return ["fuse-overlayfs", "-o", f"{layers},allow_other", at]


class Runsc(System):
    name = "runsc"
    needs = []
    directfs = "false"

    def runtime(self):
        return [self.cache / "bin/runsc", "--root", self.own / "state", "--platform=systrap", "--network=none", "--ignore-cgroups", "--overlay2=none",
                f"--directfs={self.directfs}"]

    def start(self):
        if not (self.cache / "bin/runsc").exists():
            raise Failure(f"{self.cache}/bin/runsc has not been built")
        super().start()


class RunscDirectfs(Runsc):
    name = "runsc-directfs"
    directfs = "true"


SYSTEMS = [System, Lisafs, Bindfs, FuseOverlayfs, Runsc, RunscDirectfs]
