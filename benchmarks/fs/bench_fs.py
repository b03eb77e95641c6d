"""Measures containers' files through lisafs and its peers. Called by scripts/bench.sh, which has built what it needs."""

import argparse
import json
import os
import pathlib
import platform
import shutil
import signal
import statistics
import sys
import tempfile

import report as reports
from containers import SYSTEMS, Failure, run
from works import FULL, QUICK, all_works, make_sources, make_tools

WORKS = ["start", "operations", "fio", "trees"]


def parse_arguments():
    parser = argparse.ArgumentParser(prog="bench.sh fs", allow_abbrev=False)
    parser.add_argument("works", nargs="*", metavar="WORK", help=", ".join(WORKS) + "; all if none is named")
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout, instead of a table")
    parser.add_argument("--quick", action="store_true", help="do little, once")
    parser.add_argument("--rounds", type=int, help="how often all is done")
    parser.add_argument("--systems", help="of these only, with commas between them; native is always there")
    parser.add_argument("--plot", metavar="FILE.svg", help="draw the results")
    parser.add_argument("--directory", type=pathlib.Path,
                        help="measure below this directory, with the host's caches dropped before what is cold, instead of in memory")
    parser.add_argument("--annotation", action="append", default=[], metavar="KEY=VALUE",
                        help="give the containers this annotation, as dev.lisafs.cache=/mnt=exclusive")
    parser.add_argument("--check", action="store_true", help=argparse.SUPPRESS)
    for hidden in ("programs", "operations", "root", "module", "cache"):
        parser.add_argument(f"--with-{hidden}", type=pathlib.Path, required=True, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    arguments.works = arguments.works or WORKS
    if malformed := [annotation for annotation in arguments.annotation if "=" not in annotation]:
        parser.error(f"no annotation: {', '.join(malformed)}")
    arguments.annotations = dict(annotation.split("=", 1) for annotation in arguments.annotation)
    if unknown := set(arguments.works) - set(WORKS):
        parser.error(f"no such work: {', '.join(unknown)}")
    names = [system.name for system in SYSTEMS]
    arguments.systems = ["native", *arguments.systems.split(",")] if arguments.systems else names
    if unknown := set(arguments.systems) - set(names):
        parser.error(f"no such system: {', '.join(unknown)}")
    return arguments


class Measurement:
    def __init__(self, arguments, size, place):
        self.place = place
        self.cold_host = arguments.directory is not None
        self.works = [work for name, works in all_works(size, place).items() if name in arguments.works for work in works]
        self.systems = [system(place, arguments.with_programs, arguments.with_cache, arguments.annotations) for system in SYSTEMS if system.name in arguments.systems]
        self.values = {}  # {(work, system): (unit, [value of each round])}
        self.absent = []

    def round(self):
        """Everything once: each piece of work in one system after another, so that a machine that grows slower does so for all."""
        started = []
        try:
            for system in self.systems[:]:
                try:
                    shutil.rmtree(system.own, ignore_errors=True)
                    system.work.mkdir(parents=True)
                    for work in self.works:
                        work.prepare(system.work)
                    started.append(system)
                    system.start()
                except Failure as failure:
                    self.note_gap(system, failure)
                    system.stop()
                    self.systems.remove(system)
                    started = [other for other in started if other is not system]
            if self.cold_host:
                os.sync()
                pathlib.Path("/proc/sys/vm/drop_caches").write_text("3", encoding="ascii")
            for work in self.works:
                for system in started:
                    self.measure(work, system)
        finally:
            for system in started:
                system.stop()
                shutil.rmtree(system.own, ignore_errors=True)

    def measure(self, work, system):
        try:
            for name, value in work.measure(system).items():
                self.values.setdefault((name, system.name), (work.unit, []))[1].append(value)
        except (Failure, ValueError, LookupError) as failure:
            self.note_gap(system, failure)

    def note_gap(self, system, failure):
        print(f"{system.name}: {failure}", file=sys.stderr)
        gap = {"system": system.name, "why": str(failure)}
        if gap not in self.absent:
            self.absent.append(gap)

    def results(self):
        order = list(dict.fromkeys(work for work, _ in self.values))
        return [{"work": work, "system": system, "value": round(statistics.median(runs), 3), "unit": unit, "runs": len(runs)}
                for (work, system), (unit, runs) in sorted(self.values.items(), key=lambda item: order.index(item[0][0]))]


def machine(directory):
    with open("/proc/cpuinfo", encoding="utf-8") as lines:
        cpu = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "unknown")
    return {"cpu": cpu, "cpus": os.cpu_count(), "kernel": platform.release(), "directory": run("findmnt", "-n", "-o", "FSTYPE", "-T", directory).strip()}


def main():
    arguments = parse_arguments()
    if arguments.check:
        return
    # What is mounted and running must not stay behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    size = QUICK if arguments.quick else FULL
    rounds = arguments.rounds or size.rounds
    place = pathlib.Path(tempfile.mkdtemp(prefix="lisafs-bench-", dir=arguments.directory))
    in_memory = arguments.directory is None
    try:
        if in_memory:
            run("mount", "-t", "tmpfs", "-o", "size=90%,mode=755", "lisafs-bench", place)
        run("cp", "-a", arguments.with_root, place / "root")
        make_tools(place / "tools", arguments.with_operations)
        make_sources(place, arguments.with_module, size)
        measurement = Measurement(arguments, size, place)
        for number in range(rounds):
            print(f"round {number + 1} of {rounds}", file=sys.stderr)
            measurement.round()
        report = {"benchmark": "fs", "machine": machine(place), "results": measurement.results(), "absent": measurement.absent}
    finally:
        if in_memory:
            run("umount", "--lazy", place)
            place.rmdir()
        else:
            shutil.rmtree(place, ignore_errors=True)
    if arguments.plot:
        pathlib.Path(arguments.plot).write_text(reports.plot(report, arguments.systems), encoding="utf-8")
    if arguments.json:
        json.dump(report, sys.stdout, indent=2)
        print()
    else:
        print(reports.table(report, arguments.systems))


if __name__ == "__main__":
    main()
