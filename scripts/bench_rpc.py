"""Runs the rpc benchmark's programs in turns, and prints a table or JSON. Called by bench.sh.

usage: bench_rpc.py DIRECTORY [channel|one-cpu|socket] [--json]
"""

import json
import os
import pathlib
import subprocess
import sys

import bench_report

RUNS = 5

# Each program is asked for its numbers once in every run, so that a machine that grows slower or faster does so for all.
PEERS = [
    # system, program, lane
    ("gvisor-go", "rpc-gvisor", "channel"),
    ("p9-channel", "rpc-p9", "channel"),
    ("gvisor-go", "rpc-gvisor", "socket"),
    ("p9-legacy", "rpc-p9", "socket"),
]

# work: its lane, and whether both processes have but one CPU.
WORKS = {"channel": ("channel", False), "one-cpu": ("channel", True), "socket": ("socket", False)}


def run(one_cpu, *command):
    prefix = ["taskset", "--cpu-list", str(min(os.sched_getaffinity(0)))] if one_cpu else []
    return subprocess.run([*prefix, *command], check=True, stdout=subprocess.PIPE, text=True, timeout=120).stdout


def measure(directory, works):
    """({(work, system): [nanoseconds of each run]}, {system: why it is absent})"""
    values, absent = {}, {}
    for number in range(RUNS):
        print(f"run {number + 1} of {RUNS}", file=sys.stderr)
        for work in works:
            lane, one_cpu = WORKS[work]
            for result in json.loads(run(one_cpu, directory / "rpc", "--json", "--runs=1", lane))["results"]:
                # Two that spin on one CPU wait for each other's time slice to end: that says nothing about shared memory.
                if not (one_cpu and result["system"] == "raw-shm"):
                    values.setdefault((work, result["system"]), []).append(result["value"])
            for system, program, peer_lane in PEERS:
                if peer_lane != lane or system in absent:
                    continue
                if not (directory / program).exists():
                    absent[system] = f"{program} could not be built"
                    continue
                try:
                    values.setdefault((work, system), []).append(float(run(one_cpu, directory / program, lane)))
                except (subprocess.SubprocessError, ValueError) as error:
                    absent[system] = str(error)
    return {key: runs for key, runs in values.items() if key[1] not in absent}, absent


def main():
    directory = pathlib.Path(sys.argv[1])
    works = [argument for argument in sys.argv[2:] if argument != "--json"] or list(WORKS)
    values, absent = measure(directory, works)
    bench_report.print_report("rpc", "One null request and its answer, between two processes", "ns", values, absent, "--json" in sys.argv)


if __name__ == "__main__":
    main()
