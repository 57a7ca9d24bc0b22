"""What holds for every test: CPU, strict promotion, shapes checked, caches in temporary folders."""

import functools
import gc
import os
from pathlib import Path

from oracles import quick

# Before the first import of jax. launch.sh sets it too; a plain `python -m pytest` should mean the same.
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("MPLBACKEND", "Agg")
# Tests compile much and run little: quick compilation takes a seventh of the time, and computes the same.
if os.environ.get("RNN_JAX_TESTS_AS_USERS") != "1" or os.environ.get("RNN_JAX_TESTS_QUICKLY") == "1":
    os.environ.setdefault("XLA_FLAGS", quick.XLA_FLAGS)
# Where in the source an operation came from is for people who read programs; tests lower some ten thousand.
os.environ.setdefault("JAX_TRACEBACK_IN_LOCATIONS_LIMIT", "0")

import hypothesis
import jax
import pytest
import typechecking
from jax._src.interpreters import mlir

# Hooks and flags of tests hide what users meet: integer masks, and lists, are refused before they arrive, and programs
# are compiled in another way. With this set, none of them is in force, and there are two devices for meshes.
AS_USERS = os.environ.get("RNN_JAX_TESTS_AS_USERS") == "1"
collect_ignore = [] if AS_USERS else ["as_users"]

# The rooms of arrays. The others know words and paths, which mypy checks.
ROOMS = {path.stem for path in (Path(__file__).parents[1] / "rnn_jax").iterdir()} - {"config", "data", "sweeps", "text"}
CHECKED = [f"rnn_jax.{name}" for name in sorted(ROOMS)] + ["rnn_jax.text.embeddings"]

# Every call of a function in them checks the shapes and dtypes written in its signature, if any are. Before the first
# import of rnn_jax: the hook works on modules as they are loaded. Users' runs don't pay for it.
if AS_USERS:
    jax.config.update("jax_num_cpu_devices", 2)
else:
    typechecking.install(CHECKED)
    # JAX makes a context of MLIR for each of the ten thousand programs of the suite, an eighth of its time; one does.
    mlir.make_ir_context = functools.cache(mlir.make_ir_context)

# Same examples in every run, and no deadline: a first call compiles.
hypothesis.settings.register_profile("repeatable", derandomize=True, deadline=None, database=None)
hypothesis.settings.load_profile("repeatable")


# Mixing dtypes (int32 with float32, bfloat16 with float32) or ranks without saying so is an error, in fixtures too.
if not AS_USERS:
    jax.config.update("jax_numpy_dtype_promotion", "strict")
    jax.config.update("jax_numpy_rank_promotion", "raise")


def pytest_addoption(parser):
    parser.addoption("--all", action="store_true", help="also what is marked exhaustive")


def pytest_make_parametrize_id(config, val, argname):
    """Bytes are no name of a test: those of a packed file differ from one process, and second, to the next."""
    return argname if isinstance(val, bytes) else None


def pytest_collection_modifyitems(config, items):
    """Without --all, tests marked `exhaustive` are left out: those that say again of one thing what others say of its
    like, as the contract of cells that differ in an activation."""
    if not config.getoption("--all"):
        left_out = [item for item in items if item.get_closest_marker("exhaustive")]
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if not item.get_closest_marker("exhaustive")]


@pytest.fixture(autouse=True)
def _promotion(request):
    """Undo the strictness for tests marked `lenient_promotion`."""
    if request.node.get_closest_marker("lenient_promotion"):
        with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
            yield
    else:
        yield


@pytest.fixture(scope="module", autouse=True)
def _old_objects():
    """The garbage collector does not look again at what earlier modules left: compiled programs, kept for good."""
    yield
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def _quick_pictures():
    """Pictures are composed but not rendered, which takes matplotlib a second each. Yields what renders them."""
    from matplotlib.figure import Figure

    with pytest.MonkeyPatch.context() as patch:
        render = Figure.savefig
        patch.setattr(Figure, "savefig", lambda figure, path, **options: Path(path).write_bytes(b"\x89PNG"))
        yield render


@pytest.fixture(scope="module")
def rendered(_quick_pictures):
    """Pictures are rendered, as in users' runs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("matplotlib.figure.Figure.savefig", _quick_pictures)
        yield


@pytest.fixture(scope="session", autouse=True)
def synthetic_cache(tmp_path_factory):
    """The folder of the embedded datasets, shared by all workers of a session and never in the user's home."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "cache"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RNN_JAX_CACHE", str(folder))
        yield folder
