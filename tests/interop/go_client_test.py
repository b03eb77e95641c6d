"""Runs the Go tests in go/ on the lisafs-gofer that is this test's first argument, with the vintage of gVisor that is its second.

Skipped where scripts/setup.sh has not installed that vintage.
"""

import json
import os
import pathlib
import subprocess
import sys

import junit

RUN_GO = pathlib.Path(__file__).parent / "run_go.sh"
# run_go.sh's status where the vintage is not installed.
ABSENT = 77


def run(report, gofer, vintage):
    """One test case for each Go test that has no subtests of its own."""
    command = [RUN_GO, vintage, "test", "-json", "-count=1", "-timeout=10m", "lisafs/tests/interop"]
    process = subprocess.Popen(command, env=os.environ | {"LISAFS_GOFER": str(gofer)}, stdout=subprocess.PIPE, text=True)
    output, ends, other = {}, {}, ""
    for line in process.stdout:
        try:
            event = json.loads(line)
        except ValueError:
            print(line, end="")
            other += line
            continue
        test, action = event.get("Test", ""), event["Action"]
        if action in ("output", "build-output"):
            print(event["Output"], end="")
            output[test] = output.get(test, "") + event["Output"]
        elif test and action in ("pass", "fail", "skip"):
            ends[test] = action
    for test, action in ends.items():
        if any(other.startswith(test + "/") for other in ends):
            continue
        if action == "pass":
            report.passed(test)
        elif action == "skip":
            report.skipped(test, _reason(output[test]))
        else:
            report.failed(test, output[test])
    status = process.wait()
    if status == ABSENT:
        report.skipped("All", other.strip())
    elif status and "fail" not in ends.values():
        # A crash or a build error is in no test's own words.
        report.failed("go test", f"ended with status {status}")


def _reason(text):
    lines = [line.strip() for line in text.splitlines() if not line.lstrip().startswith(("===", "---"))]
    return " ".join(lines) or "no reason given"


def main():
    gofer, vintage = pathlib.Path(sys.argv[1]).resolve(), sys.argv[2]
    report = junit.Report("GvisorClient" + vintage.capitalize())
    run(report, gofer, vintage)
    return report.write()


if __name__ == "__main__":
    sys.exit(main())
