"""Quick compilation for tests: they run many small programs once, so that compiling is nearly all they cost."""

import collections
import contextlib
import os

import jax

from oracles import quick


def quick_jit(function, **options):
    """`jax.jit` that compiles in a hurry on CPU, see `quick`."""
    compiler_options = quick.OPTIONS if jax.default_backend() == "cpu" else None
    return jax.jit(function, compiler_options=compiler_options, **options)


def environment_of_devices(count):
    """Variables of a process with so many CPU devices, which compiles as this one does."""
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count={count}"
    return os.environ | {"JAX_PLATFORMS": "cpu", "XLA_FLAGS": flags}


@contextlib.contextmanager
def counted_programs():
    """How many programs are compiled in the context, by the name of their function.

    Sizes of jit's caches don't say so: those are shared by all functions of a process, which evict one another's.
    """
    programs = collections.Counter()

    def count(event, _, fun_name="", **others):
        if event == "/jax/core/compile/backend_compile_duration":
            programs[fun_name.removeprefix("jit(").removesuffix(")")] += 1

    jax.monitoring.register_event_duration_secs_listener(count)
    try:
        yield programs
    finally:
        jax.monitoring.unregister_event_duration_listener(count)
