"""Talks to the lisafsd that is this test's first argument with stock gRPC tools: reflection, health checks, and calls made from the
descriptors that reflection gives, as any operator's client would make them.

Skipped where scripts/setup.sh has not installed Python's grpcio into $LISAFS_CACHE.
"""

import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time
import unittest

import junit

try:
    import grpc
    from google.protobuf import descriptor_pool, message_factory
    from grpc_health.v1 import health_pb2, health_pb2_grpc
    from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

    MISSING = None
except ImportError as error:
    MISSING = error

SERVICE = "lisafs.control.v1.Control"
# Seconds; a machine that runs many tests at once is slow.
PATIENCE = 30


class GrpcClient(unittest.TestCase):
    lisafsd = ""

    def setUp(self):
        directory = tempfile.TemporaryDirectory(prefix="lisafs-grpc-")
        self.addCleanup(directory.cleanup)
        self.socket = pathlib.Path(directory.name, "control.sock")
        self.daemon = subprocess.Popen([self.lisafsd, "--socket", self.socket, "--state-dir", pathlib.Path(directory.name, "state")])
        self.addCleanup(self.end_daemon)
        self.wait_for_socket()
        self.channel = grpc.insecure_channel(f"unix:{self.socket}")
        self.addCleanup(self.channel.close)
        grpc.channel_ready_future(self.channel).result(timeout=PATIENCE)
        self.reflection = ProtoReflectionDescriptorDatabase(self.channel)
        self.descriptors = descriptor_pool.DescriptorPool(self.reflection)

    def wait_for_socket(self):
        """Before gRPC tries for the first time: it waits a second before it tries again."""
        until = time.monotonic() + PATIENCE
        while not self.socket.exists():
            self.assertIsNone(self.daemon.poll(), "lisafsd ended")
            self.assertLess(time.monotonic(), until, "lisafsd makes no socket")
            time.sleep(0.01)

    def end_daemon(self):
        if self.daemon.poll() is None:
            self.daemon.kill()
        self.daemon.wait()

    def call(self, method, **fields):
        """Calls a method of the service by its name. Returns the response, or an iterator over those of a stream."""
        descriptor = self.descriptors.FindServiceByName(SERVICE).FindMethodByName(method)
        request = message_factory.GetMessageClass(descriptor.input_type)(**fields)
        response = message_factory.GetMessageClass(descriptor.output_type)
        kind = self.channel.unary_stream if descriptor.server_streaming else self.channel.unary_unary
        make = kind(f"/{SERVICE}/{method}", type(request).SerializeToString, response.FromString)
        return make(request, timeout=PATIENCE)

    def assert_fails(self, code, method, **fields):
        with self.assertRaises(grpc.RpcError) as caught:
            self.call(method, **fields)
        self.assertEqual(caught.exception.code(), code, caught.exception.details())
        return caught.exception.details()

    def test_reflection_lists_the_services(self):
        services = set(self.reflection.get_services())
        self.assertLessEqual({SERVICE, "grpc.health.v1.Health"}, services)
        methods = {method.name for method in self.descriptors.FindServiceByName(SERVICE).methods}
        self.assertLessEqual({"CreateSandbox", "ListSandboxes", "GetSandbox", "DeleteSandbox", "GetStatistics"}, methods)

    def test_health_is_serving(self):
        health = health_pb2_grpc.HealthStub(self.channel)
        request = health_pb2.HealthCheckRequest
        self.assertEqual(health.Check(request(), timeout=PATIENCE).status, health_pb2.HealthCheckResponse.SERVING)
        with self.assertRaises(grpc.RpcError) as caught:
            health.Check(request(service="no.such.Service"), timeout=PATIENCE)
        self.assertEqual(caught.exception.code(), grpc.StatusCode.NOT_FOUND)

    def test_lists_are_empty_at_first(self):
        self.assertEqual(len(self.call("ListSandboxes").sandboxes), 0)
        self.assertEqual(len(self.call("ListMounts").entries), 0)
        self.assertEqual(len(self.call("GetStatistics").mounts), 0)

    def test_errors_carry_codes_and_name_the_thing(self):
        for method, field in [
            ("GetSandbox", "id"),
            ("DeleteSandbox", "id"),
            ("ListMounts", "sandbox_id"),
            ("GetStatistics", "sandbox_id"),
        ]:
            with self.subTest(method):
                self.assertIn("no-such-one", self.assert_fails(grpc.StatusCode.NOT_FOUND, method, **{field: "no-such-one"}))
        self.assert_fails(grpc.StatusCode.INVALID_ARGUMENT, "CreateSandbox")
        self.assert_fails(grpc.StatusCode.INVALID_ARGUMENT, "CreateSandbox", id="../escape", caller_pid=os.getpid())

    def test_statistics_are_streamed_until_cancelled(self):
        stream = self.call("WatchStatistics", interval_milliseconds=100)
        first, second = next(stream), next(stream)
        self.assertGreater(second.time.ToNanoseconds(), first.time.ToNanoseconds())
        stream.cancel()
        self.assertEqual(len(self.call("ListSandboxes").sandboxes), 0)

    def test_ends_when_told(self):
        stream = self.call("WatchStatistics", interval_milliseconds=100)
        next(stream)
        self.daemon.send_signal(signal.SIGTERM)
        self.assertEqual(self.daemon.wait(timeout=PATIENCE), 0)
        with self.assertRaises(grpc.RpcError):
            for _ in stream:
                pass


class Result(unittest.TextTestResult):
    """Reports each test method once, with the first thing that went wrong in it."""

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.report = junit.Report("GrpcClient")

    def stopTest(self, test):
        name = test.id().rsplit(".", 1)[-1]
        wrong = [text for case, text in self.failures + self.errors if case.id().startswith(test.id())]
        if wrong:
            self.report.failed(name, wrong[0])
        else:
            self.report.passed(name)
        super().stopTest(test)


def main():
    if MISSING:
        report = junit.Report("GrpcClient")
        report.skipped("All", f"{MISSING}; run scripts/setup.sh")
        return report.write()
    GrpcClient.lisafsd = pathlib.Path(sys.argv[1]).resolve()
    suite = unittest.defaultTestLoader.loadTestsFromTestCase(GrpcClient)
    result = unittest.TextTestRunner(stream=sys.stdout, verbosity=2, resultclass=Result).run(suite)
    return result.report.write()


if __name__ == "__main__":
    sys.exit(main())
