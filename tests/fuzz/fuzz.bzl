"""Programs for libFuzzer, in the same build as everything else: what a target and its dependencies are made of is compiled once more,
by clang, with libFuzzer and the address and undefined behaviour sanitizers."""

_CLANG = "/usr/bin/clang++-14"
_FLAGS = ["-std=c++20", "-g", "-O1", "-fno-omit-frame-pointer", "-fsanitize=fuzzer,address,undefined", "-fno-sanitize-recover=all"]

_Sources = provider(fields = ["sources", "headers"])

def _files(attribute):
    return [file for target in attribute for file in target.files.to_list()]

def _collect_impl(target, ctx):
    deps = [dep[_Sources] for dep in getattr(ctx.rule.attr, "deps", []) if _Sources in dep]
    files = _files(getattr(ctx.rule.attr, "srcs", [])) + _files(getattr(ctx.rule.attr, "hdrs", []))
    return [_Sources(
        sources = depset([file for file in files if file.extension == "cc"], transitive = [dep.sources for dep in deps]),
        headers = depset([file for file in files if file.extension == "h"], transitive = [dep.headers for dep in deps]),
    )]

_collect = aspect(implementation = _collect_impl, attr_aspects = ["deps"])

def _fuzz_binary_impl(ctx):
    sources = depset(ctx.files.srcs, transitive = [dep[_Sources].sources for dep in ctx.attr.deps])
    headers = depset(transitive = [dep[_Sources].headers for dep in ctx.attr.deps])
    objects = []
    for source in sources.to_list():
        object = ctx.actions.declare_file("%s.objects/%s.o" % (ctx.label.name, source.short_path.replace("/", "_")))
        ctx.actions.run(
            executable = _CLANG,
            arguments = _FLAGS + ["-iquote.", "-c", source.path, "-o", object.path],
            inputs = depset([source], transitive = [headers]),
            outputs = [object],
            mnemonic = "FuzzCompile",
        )
        objects.append(object)
    program = ctx.actions.declare_file(ctx.label.name)
    ctx.actions.run(
        executable = _CLANG,
        arguments = _FLAGS + [object.path for object in objects] + ["-pthread", "-o", program.path],
        inputs = objects,
        outputs = [program],
        mnemonic = "FuzzLink",
    )
    return [DefaultInfo(executable = program, files = depset([program]))]

fuzz_binary = rule(
    implementation = _fuzz_binary_impl,
    attrs = {
        "srcs": attr.label_list(allow_files = [".cc"]),
        "deps": attr.label_list(aspects = [_collect]),
    },
    executable = True,
)
