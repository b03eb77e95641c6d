#!/usr/bin/python3
"""Counts the test cases of one `bazel test` from its build events (--build_event_json_file) and the XML files they name.

Prints every failed test case, every skipped one with its reason, and last "N passed, N failed[, N skipped]". Exits 0 if at least one passed
and none failed. A test program that ended badly without saying which of its test cases failed counts as one failure, and so does a test that
could not be built.
"""

import dataclasses
import json
import sys
import urllib.parse
import xml.etree.ElementTree as ElementTree


@dataclasses.dataclass
class Totals:
    passed: int = 0
    failed: int = 0
    skipped: int = 0


def results(events):
    """(label, status, path of its XML or None) of every test target's last attempt in every shard, and those that never ran."""
    last = {}
    wanted = set()
    for event in events:
        key = event["id"]
        if "targetConfigured" in key and "testSize" in event.get("configured", {}):
            wanted.add(key["targetConfigured"]["label"])
        elif "testResult" in key:
            identity = key["testResult"]
            result = event["testResult"]
            files = {output["name"]: output.get("uri", "") for output in result.get("testActionOutput", [])}
            path = urllib.parse.urlparse(files["test.xml"]).path if "test.xml" in files else None
            last[identity["label"], identity.get("run"), identity.get("shard")] = (result["status"], path)
    for (label, _, _), (status, path) in sorted(last.items(), key=lambda item: item[0][0]):
        yield label, status, path
    for label in sorted(wanted - {label for label, _, _ in last}):
        yield label, "NOT BUILT OR NOT RUN", None


def test_cases(path):
    """(name, "passed" | "failed" | "skipped", reason) of every test case in a JUnit or GoogleTest XML file."""
    for case in ElementTree.parse(path).getroot().iter("testcase"):
        name = ".".join(part for part in (case.get("classname"), case.get("name")) if part)
        if case.find("failure") is not None or case.find("error") is not None:
            yield name, "failed", ""
        elif case.find("skipped") is not None or case.get("result") == "skipped":
            element = case.find("skipped")
            reason = "" if element is None else element.get("message") or element.text or ""
            yield name, "skipped", " ".join(reason.split()) or "no reason given"
        elif case.get("status") == "notrun" or case.get("result") == "suppressed":
            continue
        else:
            yield name, "passed", ""


def summarize(events):
    totals = Totals()
    for label, status, path in results(events):
        failures = 0
        try:
            cases = list(test_cases(path)) if path else []
        except (OSError, ElementTree.ParseError) as error:
            print(f"{label}: no results: {error}")
            cases = []
        for name, outcome, reason in cases:
            if outcome == "passed":
                totals.passed += 1
            elif outcome == "skipped":
                totals.skipped += 1
                print(f"skipped: {label} {name}: {reason}")
            else:
                failures += 1
                print(f"failed: {label} {name}")
        if not failures and (status != "PASSED" or not cases):
            failures = 1
            print(f"failed: {label}: {status if status != 'PASSED' else 'has no test cases'}")
        totals.failed += failures
    return totals


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        totals = summarize(json.loads(line) for line in file)
    skipped = f", {totals.skipped} skipped" if totals.skipped else ""
    print(f"{totals.passed} passed, {totals.failed} failed{skipped}")
    return 0 if totals.passed and not totals.failed else 1


if __name__ == "__main__":
    sys.exit(main())
