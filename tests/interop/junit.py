"""Tells Bazel what a test that is not a C++ program did: one test case each, as in GoogleTest's XML files."""

import os
import xml.etree.ElementTree as ElementTree


class Report:
    """Collects test cases; write() puts them where Bazel (and scripts/test.sh) looks for them."""

    def __init__(self, suite):
        self._suite = ElementTree.Element("testsuite", name=suite)

    def passed(self, name):
        self._case(name)

    def failed(self, name, message):
        ElementTree.SubElement(self._case(name), "failure", message=_printable(message))

    def skipped(self, name, reason):
        print(f"skipped: {name}: {reason}")
        ElementTree.SubElement(self._case(name), "skipped", message=_printable(reason))

    def write(self):
        """Returns the exit status that fits: 1 if a test case failed or there is none."""
        path = os.environ.get("XML_OUTPUT_FILE")
        if path:
            root = ElementTree.Element("testsuites")
            root.append(self._suite)
            ElementTree.ElementTree(root).write(path, encoding="utf-8", xml_declaration=True)
        return 1 if not len(self._suite) or self._suite.find("testcase/failure") is not None else 0

    def _case(self, name):
        return ElementTree.SubElement(self._suite, "testcase", classname=self._suite.get("name"), name=name)


def _printable(text):
    """XML has no control characters."""
    return "".join(c if c.isprintable() or c in "\n\t" else "?" for c in text)
