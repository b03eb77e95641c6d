"""Runs the rpc benchmark's programs in turns, and prints a table or JSON. Called by bench.sh.

usage: bench_rpc.py DIRECTORY [channel|socket] [--json]
"""

import json
import os
import pathlib
import platform
import statistics
import subprocess
import sys

ROUNDS = 5

# Each program is asked for its numbers once in every round, so that a machine that grows slower or faster does so for all.
PEERS = [
    # system, program, work
    ("gvisor-go", "rpc-gvisor", "channel"),
    ("p9-channel", "rpc-p9", "channel"),
    ("gvisor-go", "rpc-gvisor", "socket"),
    ("p9-legacy", "rpc-p9", "socket"),
]


def run(*command):
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, timeout=120).stdout


def measure(directory, works):
    """({(work, system): [nanoseconds of each round]}, {system: why it is absent})"""
    values, absent = {}, {}
    for round_number in range(ROUNDS):
        print(f"round {round_number + 1} of {ROUNDS}", file=sys.stderr)
        for result in json.loads(run(directory / "rpc", "--json", "--runs=1"))["results"]:
            if result["work"] in works:
                values.setdefault((result["work"], result["system"]), []).append(result["value"])
        for system, program, work in PEERS:
            if work not in works or system in absent:
                continue
            if not (directory / program).exists():
                absent[system] = f"{program} could not be built"
                continue
            try:
                values.setdefault((work, system), []).append(float(run(directory / program, work)))
            except (subprocess.SubprocessError, ValueError) as error:
                absent[system] = str(error)
    return {key: runs for key, runs in values.items() if key[1] not in absent}, absent


def machine():
    cpu = next((line.split(":", 1)[1].strip() for line in open("/proc/cpuinfo", encoding="utf-8") if line.startswith("model name")), "unknown")
    return {"cpu": cpu, "cpus": os.cpu_count(), "kernel": platform.release()}


def print_table(report):
    print("One null request and its answer, between two processes; the middle of the runs, lower is better.")
    print("{cpus} CPUs: {cpu}; Linux {kernel}\n".format(**report["machine"]))
    print(f"{'work':<10}{'system':<12}{'value':>12}      {'to lisafs':>9}")
    ours = {result["work"]: result["value"] for result in report["results"] if result["system"] == "lisafs"}
    for result in report["results"]:
        ratio = f"{result['value'] / ours[result['work']]:8.1f}x" if result["work"] in ours else ""
        print(f"{result['work']:<10}{result['system']:<12}{result['value']:>12.1f} {result['unit']:<5}{ratio:>9}")
    for peer in report["absent"]:
        print(f"absent: {peer['system']}: {peer['why']}")


def main():
    directory = pathlib.Path(sys.argv[1])
    works = [argument for argument in sys.argv[2:] if argument != "--json"] or ["channel", "socket"]
    values, absent = measure(directory, works)
    report = {
        "benchmark": "rpc",
        "machine": machine(),
        "results": [
            {"work": work, "system": system, "value": round(statistics.median(runs), 1), "unit": "ns", "runs": len(runs)}
            for (work, system), runs in sorted(values.items(), key=lambda item: (item[0][0], statistics.median(item[1])))
        ],
        "absent": [{"system": system, "why": why} for system, why in absent.items()],
    }
    if "--json" in sys.argv:
        json.dump(report, sys.stdout, indent=2)
        print()
    else:
        print_table(report)


if __name__ == "__main__":
    main()
