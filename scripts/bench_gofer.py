"""Runs the gofer benchmark again and again, and prints a table or JSON. Called by bench.sh.

usage: bench_gofer.py DIRECTORY [--json]
"""

import json
import pathlib
import subprocess
import sys
import tempfile

import bench_report

RUNS = 5


def main():
    programs = pathlib.Path(sys.argv[1])
    values = {}
    for run in range(RUNS):
        print(f"run {run + 1} of {RUNS}", file=sys.stderr)
        # In memory: what the protocol and the gofers take, not what a disk takes.
        with tempfile.TemporaryDirectory(dir="/dev/shm") as directory:
            command = [programs / "bench-gofer", programs / "lisafs-gofer", programs / "null-gofer", directory]
            output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, timeout=300).stdout
        for result in json.loads(output):
            values.setdefault((result["work"], result["system"]), []).append(result["value"])
    bench_report.print_report("gofer", "File operations of gVisor's client, one at a time, on files in memory", "us", values, {}, "--json" in sys.argv)


if __name__ == "__main__":
    main()
