"""What is measured: pieces of work, each done in one system's container after another."""

import dataclasses
import json
import pathlib
import random
import shutil
import statistics
from collections.abc import Callable

from containers import TOOLS, WORK, run

OPERATIONS = f"{TOOLS}/operations"


@dataclasses.dataclass(frozen=True)
class Size:
    """How much is done. A quick run is for seeing that things work, and for ratios that are not close."""

    rounds: int
    files: int  # Of the operations on single files, for one process; eight have a quarter each.
    fio_seconds: float
    fio_megabytes: int
    c_files: int
    source: str  # The part of gVisor's module that is the source tree.


FULL = Size(rounds=5, files=2000, fio_seconds=3, fio_megabytes=256, c_files=100, source=".")
QUICK = Size(rounds=1, files=500, fio_seconds=0.5, fio_megabytes=64, c_files=20, source="pkg/sentry")


@dataclasses.dataclass(frozen=True)
class Work:
    """`prepare` runs on the host, on the system's directory, before its container has seen anything of it. `measure` gives
    {name: value}."""

    unit: str
    prepare: Callable
    measure: Callable


def nothing(_directory):
    pass


def seconds(container, *command):
    """Milliseconds that a command takes in the container."""
    return float(container.run(OPERATIONS, "time", *command).split()[-1]) / 1000


def operations(processes, size, place):
    files = size.files if processes == 1 else size.files // 4
    cold = f"cold-{processes}"

    def prepare(directory):
        (directory / cold).mkdir()
        run(place / "tools/operations", "prepare", directory / cold, processes, files)

    def measure(container):
        values = {}
        for kind, directory in (("cold", f"{WORK}/{cold}"), ("warm", WORK)):
            for line in container.run(OPERATIONS, kind, directory, processes, files).splitlines():
                name, value = line.split()
                values[f"{name} {kind} {processes}p"] = float(value)
        return values

    return Work("us", prepare, measure)


def fio(block, pattern, direct, size):
    """Reads of a file that is in the page cache, if anywhere; writes that end in an fsync."""
    name = f"fio {block} {pattern} {'direct' if direct else 'cached'}"
    write = "write" in pattern
    data = "fio-data"

    def prepare(directory):
        if not (directory / data).exists():
            megabyte = random.Random(0).randbytes(1 << 20)
            with open(directory / data, "wb") as file:
                for _ in range(size.fio_megabytes):
                    file.write(megabyte)

    def measure(container):
        command = [f"{TOOLS}/ld.so", "--library-path", f"{TOOLS}/lib", f"{TOOLS}/fio", "--name=job", "--thread", "--ioengine=psync",
                   f"--filename={WORK}/{data}", f"--size={size.fio_megabytes}m", f"--bs={block}", f"--rw={pattern}", f"--direct={int(direct)}",
                   "--invalidate=0", "--overwrite=1", f"--end_fsync={int(write)}", "--time_based", f"--runtime={int(size.fio_seconds * 1000)}ms",
                   "--output-format=json"]
        report = container.run(*command)
        job = json.loads(report[report.index("{"):])["jobs"][0]
        return {name: job["write" if write else "read"]["bw_bytes"] / (1 << 20)}

    return Work("MiB/s", prepare, measure)


def untar(place):
    def prepare(directory):
        shutil.copy(place / "source.tar", directory)
        (directory / "untar").mkdir()

    def measure(container):
        return {
            "untar": seconds(container, "tar", "-xf", f"{WORK}/source.tar", "-C", f"{WORK}/untar"),
            "rm -rf": seconds(container, "rm", "-rf", f"{WORK}/untar"),
        }

    return Work("ms", prepare, measure)


def build(place):
    def prepare(directory):
        shutil.copytree(place / "c-source", directory / "build")

    def measure(container):
        return {"make": seconds(container, f"{TOOLS}/make", "-s", "-j2", "-C", f"{WORK}/build")}

    return Work("ms", prepare, measure)


def git(place):
    def prepare(directory):
        run("git", "clone", "-q", "--bare", "--no-hardlinks", place / "repository", directory / "origin.git")
        run("git", "clone", "-q", "--no-hardlinks", place / "repository", directory / "repository")

    def measure(container):
        quiet = ["git", "-C", f"{WORK}/repository", "status", "--porcelain"]
        values = {"git status cold": seconds(container, *quiet), "git status warm": seconds(container, *quiet)}
        values["git clone"] = seconds(container, "git", "clone", "-q", "--no-hardlinks", f"{WORK}/origin.git", f"{WORK}/clone")
        return values

    return Work("ms", prepare, measure)


def start(times):
    def measure(container):
        memory = container.memory()
        values = {} if memory is None else {"idle memory, MiB": memory}
        values["run true, ms"] = statistics.median(container.run_once() for _ in range(times))
        return values

    return Work("", nothing, measure)


def all_works(size, place):
    works = {"start": [start(10)], "operations": [operations(1, size, place), operations(8, size, place)], "fio": [], "trees": [untar(place), build(place), git(place)]}
    for block in ("4k", "1m"):
        for pattern in ("read", "randread", "write", "randwrite"):
            works["fio"] += [fio(block, pattern, direct, size) for direct in (False, True)]
    return works


def make_c_source(directory, files):
    """A program in C of so many files, and its Makefile."""
    directory.mkdir()
    for i in range(files):
        (directory / f"part{i}.h").write_text(f"int part{i}(const char *text);\n")
        following = f"part{i + 1}(text)" if i + 1 < files else "0"
        include = f'#include "part{i + 1}.h"\n' if i + 1 < files else ""
        (directory / f"part{i}.c").write_text(
            "#include <stdio.h>\n#include <stdlib.h>\n#include <string.h>\n#include <sys/types.h>\n#include <unistd.h>\n"
            f'#include "part{i}.h"\n{include}'
            f"int part{i}(const char *text) {{\n  size_t length = strlen(text) + {i};\n  return (int)length + {following};\n}}\n")
    (directory / "main.c").write_text('#include <stdio.h>\n#include "part0.h"\n'
                                      'int main(int argc, char **argv) { return printf("%d\\n", part0(argv[argc - 1])) < 0; }\n')
    objects = " ".join(["main.o", *(f"part{i}.o" for i in range(files))])
    (directory / "Makefile").write_text(f"CFLAGS = -O1\nprogram: {objects}\n\tcc -o $@ $^\n%.o: %.c\n\tcc $(CFLAGS) -c -o $@ $<\n")


def make_tools(directory, operations_program):
    """What containers run that their root does not have. fio brings its own libraries."""
    (directory / "lib").mkdir(parents=True)
    shutil.copy(operations_program, directory / "operations")
    shutil.copy("/usr/bin/make", directory)
    shutil.copy("/usr/bin/fio", directory)
    for line in run("ldd", "/usr/bin/fio").splitlines():
        words = line.split()
        if "=>" in words and words[2].startswith("/"):
            shutil.copy(words[2], directory / "lib" / words[0])
        elif words[0].startswith("/"):
            shutil.copy(words[0], directory / "ld.so")


def make_sources(place, module, size):
    """The trees that the works start from, the same for all systems."""
    source = pathlib.Path(module, size.source)
    run("tar", "-cf", place / "source.tar", "--mode=u+w", "--owner=0", "--group=0", "-C", source, ".")
    make_c_source(place / "c-source", size.c_files)
    repository = place / "repository"
    repository.mkdir()
    run("tar", "-xf", place / "source.tar", "-C", repository)
    for command in (["init", "-q"], ["add", "."], ["-c", "user.name=nobody", "-c", "user.email=nobody@localhost", "commit", "-q", "-m", "all"]):
        run("git", "-C", repository, *command)
