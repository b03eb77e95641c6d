"""C++ code of the room's .proto files, by Debian's protoc and grpc_cpp_plugin."""

def cc_protos(name, protos, deps = []):
    """A cc_library of messages and services.

    The sources are included as "proto/PATH.pb.h" and "proto/PATH.grpc.pb.h". A file keeps its path below this room, so that clients that load
    it by reflection see that.

    Args:
      name: the library's.
      protos: .proto files, as paths below this room.
      deps: libraries of the same kind that the files import from.
    """
    stems = [proto[:-len(".proto")] for proto in protos]
    headers = [stem + suffix for stem in stems for suffix in [".pb.h", ".grpc.pb.h"]]
    sources = [stem + suffix for stem in stems for suffix in [".pb.cc", ".grpc.pb.cc"]]
    native.genrule(
        name = name + "_sources",
        # Every .proto, since one may import another.
        srcs = native.glob(["**/*.proto"]),
        outs = headers + sources,
        cmd = " ".join([
            "/usr/bin/protoc",
            "--proto_path=proto",
            "--cpp_out=$(RULEDIR)",
            "--grpc_out=$(RULEDIR)",
            "--plugin=protoc-gen-grpc=/usr/bin/grpc_cpp_plugin",
        ] + protos),
        visibility = ["//visibility:private"],
    )
    native.cc_library(
        name = name,
        srcs = sources,
        hdrs = headers,
        # What protoc writes is not ours to tidy.
        copts = ["-Wno-unused-parameter"],
        # The generated sources include each other by their path below this room.
        includes = ["."],
        deps = deps + ["@system//:grpc"],
    )
