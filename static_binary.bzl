"""Programs that load no shared library."""

def static_binary(linkopts = [], static_linkopts = [], **arguments):
    """A cc_binary that is linked statically, unless it is built with the sanitizers, whose run-time library is a shared one.

    A process is ready some milliseconds sooner for it: it finds and relocates no libraries.

    Args:
      linkopts: as a cc_binary's.
      static_linkopts: what is linked besides if it is static, before what its dependencies name.
      **arguments: the cc_binary's others.
    """
    native.cc_binary(
        features = select({
            "//:sanitized": [],
            "//conditions:default": ["fully_static_link"],
        }),
        linkopts = linkopts + select({
            "//:sanitized": [],
            "//conditions:default": static_linkopts,
        }),
        **arguments
    )
