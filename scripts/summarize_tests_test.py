"""What scripts/test.sh counts: nothing that failed may go unseen."""

import contextlib
import io
import pathlib
import tempfile
import unittest

import summarize_tests

GTEST = """<testsuites><testsuite name="Suite">
  <testcase classname="Suite" name="Good" status="run" result="completed"/>
  <testcase classname="Suite" name="Off" status="notrun" result="suppressed"/>
  <testcase classname="Suite" name="Elsewhere" status="run" result="skipped"><skipped message="foo_test.cc:7&#x0A;wants root&#x0A;"/></testcase>
  {bad}
</testsuite></testsuites>"""
BAD = '<testcase classname="Suite" name="Bad" status="run" result="completed"><failure message="no"/></testcase>'


class SummarizeTests(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.directory = pathlib.Path(directory.name)
        self.events = []

    def target(self, label, status=None, xml=None):
        """A test target, and, with a status, one run of it that left an XML file."""
        self.events.append({"id": {"targetConfigured": {"label": label}}, "configured": {"testSize": "SMALL"}})
        if not status:
            return
        outputs = []
        if xml is not None:
            path = self.directory / f"{len(self.events)}.xml"
            path.write_text(xml, encoding="utf-8")
            outputs.append({"name": "test.xml", "uri": path.as_uri()})
        self.events.append({"id": {"testResult": {"label": label, "run": 1, "shard": 1}}, "testResult": {"status": status, "testActionOutput": outputs}})

    def check(self, passed, failed, skipped, *said):
        output = io.StringIO()
        with contextlib.redirect_stdout(output):
            totals = summarize_tests.summarize(self.events)
        self.assertEqual((totals.passed, totals.failed, totals.skipped), (passed, failed, skipped), output.getvalue())
        for text in said:
            self.assertIn(text, output.getvalue())

    def test_counts_cases_and_says_why_one_was_skipped(self):
        self.target("//a:a", "PASSED", GTEST.format(bad=""))
        self.target("//b:b", "PASSED", GTEST.format(bad=""))
        self.check(2, 0, 2, "skipped: //a:a Suite.Elsewhere: foo_test.cc:7 wants root")

    def test_names_what_failed(self):
        self.target("//a:a", "FAILED", GTEST.format(bad=BAD))
        self.check(1, 1, 1, "failed: //a:a Suite.Bad")

    def test_a_program_that_dies_is_a_failure(self):
        self.target("//a:says_all_is_well", "FAILED", GTEST.format(bad=""))
        self.target("//a:says_nothing", "FAILED")
        self.target("//a:stopped_writing", "TIMEOUT", "<testsuites><testsuite")
        self.check(1, 3, 1, "failed: //a:stopped_writing: TIMEOUT")

    def test_a_program_without_test_cases_is_a_failure(self):
        self.target("//a:a", "PASSED", "<testsuites></testsuites>")
        self.check(0, 1, 0)

    def test_a_test_that_was_not_built_is_a_failure(self):
        self.target("//a:a")
        self.events.append({"id": {"targetConfigured": {"label": "//a:library"}}, "configured": {"targetKind": "cc_library rule"}})
        self.check(0, 1, 0, "failed: //a:a")


if __name__ == "__main__":
    unittest.main()
