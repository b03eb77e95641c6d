"""Runs the fuse benchmark in turns with FUSE as ever and over io_uring, and prints a table or JSON. Called by bench.sh.

usage: bench_fuse.py DIRECTORY [--json]
"""

import json
import os
import pathlib
import subprocess
import sys

import bench_report

RUNS = 5
SWITCH = pathlib.Path("/sys/module/fuse/parameters/enable_uring")


def run(programs, io_uring):
    environment = {"PATH": os.environ["PATH"], "TEST_SRCDIR": str(programs)}
    if io_uring:
        environment["LISAFS_TEST_IO_URING"] = "1"
    return json.loads(subprocess.run([programs / "fuse"], env=environment, check=True, stdout=subprocess.PIPE, text=True, timeout=300).stdout)


def main():
    programs = pathlib.Path(sys.argv[1])
    absent = {} if SWITCH.exists() else {"lisafs-uring": f"there is no {SWITCH}"}
    values = {}
    for number in range(RUNS):
        print(f"run {number + 1} of {RUNS}", file=sys.stderr)
        for io_uring in [False] if absent else [False, True]:
            for result in run(programs, io_uring):
                values.setdefault((result["work"], result["system"]), []).append(result["value"])
    bench_report.print_report("fuse", "Single operations on a mount of lisafs, on files in memory", "us", values, absent, "--json" in sys.argv)


if __name__ == "__main__":
    main()
