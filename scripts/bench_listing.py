"""Runs the listing benchmark and prints a table or JSON. Called by bench.sh.

usage: bench_listing.py DIRECTORY [--json]
"""

import json
import os
import pathlib
import subprocess
import sys

import bench_report

RUNS = 5


def main():
    programs = pathlib.Path(sys.argv[1])
    environment = {"PATH": os.environ["PATH"], "TEST_SRCDIR": str(programs)}
    values = {}
    for number in range(RUNS):
        print(f"run {number + 1} of {RUNS}", file=sys.stderr)
        done = subprocess.run([programs / "listing"], env=environment, check=True, stdout=subprocess.PIPE, text=True, timeout=300)
        for result in json.loads(done.stdout):
            values.setdefault((result["work"], result["system"]), []).append(result["value"])
    bench_report.print_report("listing", "Listing directories of a mount that nobody else changes, in memory", "us", values, {}, "--json" in sys.argv)


if __name__ == "__main__":
    main()
