"""Runs the Go tests in go/ on the lisafs-gofer that is this test's first argument.

Skipped where scripts/setup.sh has not put a Go and gVisor's module into $LISAFS_CACHE.
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile

import junit

CACHE = pathlib.Path(os.environ.get("LISAFS_CACHE") or "/var/cache/lisafs")
# The folder itself, not the links to its files in the test's runfiles.
SOURCES = (pathlib.Path(__file__).parent / "go" / "go.mod").resolve().parent


def environment(gofer):
    cache = CACHE / "go"
    return {
        "PATH": os.environ["PATH"],
        # A path as long as Bazel's own is no good for a socket's name, and a donated descriptor wants a real file system.
        "TMPDIR": tempfile.gettempdir(),
        "GOPATH": str(cache),
        "GOCACHE": str(cache / "build"),
        "GOFLAGS": "-mod=readonly -buildvcs=false",
        "GOPROXY": "off",
        "GOTOOLCHAIN": "local",
        "CGO_ENABLED": "0",
        "LISAFS_GOFER": str(gofer),
    }


def run(report, gofer):
    """One test case for each Go test that has no subtests of its own."""
    command = [CACHE / "bin" / "go", "test", "-json", "-count=1", "-timeout=10m", "./..."]
    process = subprocess.Popen(command, cwd=SOURCES, env=environment(gofer), stdout=subprocess.PIPE, text=True)
    output, ends = {}, {}
    for line in process.stdout:
        try:
            event = json.loads(line)
        except ValueError:
            print(line, end="")
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
    # A crash or a build error is in no test's own words.
    if process.wait() and "fail" not in ends.values():
        report.failed("go test", f"ended with status {process.returncode}")


def _reason(text):
    lines = [line.strip() for line in text.splitlines() if not line.lstrip().startswith(("===", "---"))]
    return " ".join(lines) or "no reason given"


def main():
    report = junit.Report("GvisorClient")
    if not (CACHE / "bin" / "go").exists():
        report.skipped("All", f"there is no Go at {CACHE}/bin/go; run scripts/setup.sh")
    else:
        run(report, pathlib.Path(sys.argv[1]).resolve())
    return report.write()


if __name__ == "__main__":
    sys.exit(main())
