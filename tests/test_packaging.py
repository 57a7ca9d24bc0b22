"""What `pip install .` gives: rnn_jax alone, with jax and numpy; what needs more says what to install.

Hatchling, which builds it, is in the environment `lowest` only: there `./launch.sh test` runs this file too.
"""

import email
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def names(requirements):
    return {re.match(r"[\w-]+", line)[0] for line in requirements}


def test_the_library_needs_only_jax_and_numpy():
    assert names(PROJECT["dependencies"]) == {"jax", "numpy"}


def test_every_lower_bound_is_what_the_lowest_environment_has():
    """So that no bound is stated which no test has seen."""
    lock = (ROOT / "requirements" / "lowest.txt").read_text(encoding="utf-8")
    extras = PROJECT["optional-dependencies"]
    tried = [*PROJECT["dependencies"], *extras["flax"], *extras["experiments"], *extras["test"], *extras["build"]]
    bounds = dict(re.findall(r"^([\w-]+)(?:\[\w+\])?>=([\d.]+)", "\n".join(tried), re.MULTILINE))
    assert {"jax", "numpy", "flax", "optax", "orbax-checkpoint", "tensorflow-datasets"} <= set(bounds)
    for name, bound in bounds.items():
        pin = re.search(rf"^{name.replace('_', '-')}==([\d.]+)", lock, re.MULTILINE)[1]
        assert re.fullmatch(rf"{re.escape(bound)}(\.0)*", pin), f"{name}>={bound}, but {pin} is what is tested"


@pytest.mark.parametrize(
    ("module", "absent", "extra"),
    [
        ("modules", "flax", "flax"),
        ("training", "optax", "experiments"),
        ("training.checkpoint", "orbax", "experiments"),
        ("data", "tensorflow_datasets", "experiments"),
        ("text", "tokenizers", "experiments"),
        ("models", "flax", "experiments"),
        ("sweeps", "rich", "sweep"),
        ("sweeps.statistics", "scipy", "sweep"),
    ],
)
def test_what_is_not_installed_is_named_with_its_extra(module, absent, extra):
    """`rnn_jax` itself is imported all the same."""
    code = f"import sys; sys.modules['{absent}'] = None; import rnn_jax; print('there'); import rnn_jax.{module}"
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert result.stdout == "there\n" and result.returncode == 1
    assert f"pip install 'rnn-jax-research[{extra}]'" in result.stderr.splitlines()[-1]
    assert extra in PROJECT["optional-dependencies"]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    pytest.importorskip("hatchling", reason="builds the wheel; it is in the environment 'lowest'")
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder], cwd=ROOT, check=True)
    with zipfile.ZipFile(next(folder.glob("*.whl"))) as archive:
        yield archive


def test_the_wheel_holds_the_library_with_its_types_and_nothing_else(wheel):
    found = {name for name in wheel.namelist() if ".dist-info/" not in name}
    there = {str(path.relative_to(ROOT)) for path in ROOT.glob("rnn_jax/**/*") if path.is_file()}
    assert found == {name for name in there if "__pycache__" not in name}
    assert "rnn_jax/py.typed" in found


def test_the_wheel_asks_for_jax_and_numpy_only(wheel):
    (metadata,) = (name for name in wheel.namelist() if name.endswith("/METADATA"))
    lines = email.message_from_bytes(wheel.read(metadata)).get_all("Requires-Dist")
    assert names(line for line in lines if "extra ==" not in line) == {"jax", "numpy"}
