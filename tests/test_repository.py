"""What holds for the repository as a whole: levels, imports, dependencies, lock files, documentation."""

import ast
import importlib
import inspect
import itertools
import operator
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from absl import flags

import rnn_jax
from rnn_jax.config import define_flags, fields_of
from rnn_jax.training.app import resolve
from rnn_jax.training.run_config import Invocation

ROOT = Path(__file__).parents[1]
SOURCES = sorted([*ROOT.glob("rnn_jax/**/*.py"), *ROOT.glob("experiments/**/*.py")])
TESTS = sorted(ROOT.glob("tests/**/*.py"))
LOCKS = sorted(ROOT.glob("requirements/*.txt"))

# Each module or subpackage of rnn_jax imports only from lines above its own (and from itself).
LEVELS = (
    ("types", "errors"),
    ("exit_codes", "files"),
    ("config",),
    ("numerics",),
    ("masking", "dropout", "spectrogram", "convolution"),
    ("augmentation",),
    ("cells",),  # one time step
    ("scanning",),  # over time
    ("layers",),  # over depth and direction
    ("attention", "decoding", "tagging", "losses"),
    ("metrics", "analysis"),
    ("__init__",),
    ("modules", "data"),  # from here on with Flax, TFDS, Optax, Orbax
    ("text",),
    ("models",),
    ("training",),
    ("sweeps",),
)
LEVEL = {name: number for number, level in enumerate(LEVELS) for name in level}


@cache
def imports(path: Path) -> tuple[str, ...]:
    """Full names of the modules that a file imports, anywhere in it."""
    names: list[str] = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            inside = node.module in ("rnn_jax", "experiments")  # `from rnn_jax import scan` names a module after import
            names += [f"{node.module}.{alias.name}" for alias in node.names] if inside else [node.module]
    return tuple(names)


def part(module: str) -> str:
    """rnn_jax.cells.lstm → cells; a name that the package itself defines → __init__."""
    name = module.partition(".")[2].split(".")[0]
    return name if name in LEVEL else "__init__"


def relative(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", sorted(ROOT.glob("rnn_jax/**/*.py")), ids=relative)
def test_imports_point_one_way(path):
    own = path.relative_to(ROOT / "rnn_jax").with_suffix("").parts[0]
    assert own in LEVEL, f"give {own} its place in LEVELS"
    for module in imports(path):
        assert not module.startswith("experiments")
        if module.startswith("rnn_jax") and part(module) != own:
            assert LEVEL[part(module)] < LEVEL[own], f"{own} must not import {module}"


def test_every_level_is_there():
    there = {path.relative_to(ROOT / "rnn_jax").with_suffix("").parts[0] for path in ROOT.glob("rnn_jax/**/*.py")}
    assert set(LEVEL) == there


CONFIGURATIONS = sorted([*ROOT.glob("rnn_jax/**/*_config.py"), ROOT / "rnn_jax/text/teacher_forcing.py"])
SCRIPTS = sorted(path for path in ROOT.glob("experiments/*.py") if (ROOT / "experiments/tasks" / path.name).exists())


@pytest.mark.parametrize("path", [path for path in SCRIPTS if path.stem != "__init__"], ids=relative)
def test_a_task_is_short(path):
    """The script, which declares its knobs, and the task, which has its functions."""
    lines = [len(p.read_text(encoding="utf-8").splitlines()) for p in (path, ROOT / "experiments/tasks" / path.name)]
    assert sum(lines) <= 150


def test_the_loop_is_one_short_file():
    assert len((ROOT / "rnn_jax/training/fit.py").read_text(encoding="utf-8").splitlines()) <= 150


def test_command_lines_are_read_without_jax():
    """Flags are parsed, checked and answered before anything that takes seconds to import."""
    modules = [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in [*CONFIGURATIONS, *SCRIPTS]]
    modules = [module for module in modules if not module.endswith("__init__")] + ["rnn_jax.training.app"]
    heavy = ("jax", "flax", "optax", "orbax", "tokenizers", "tensorflow_datasets", "matplotlib", "rich", "numpy")
    code = f"import sys, {', '.join(modules)}; print(*({set(heavy)!r} & set(sys.modules)))"
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert result.stdout.split() == []


def test_importing_the_library_needs_only_jax_and_numpy():
    """Compared with the modules that jax itself has loaded, in a process of its own."""
    code = (
        "import sys, jax, jax.numpy, jaxtyping; before = set(sys.modules); import rnn_jax;"
        "print(*{name.split('.')[0] for name in set(sys.modules) - before} - set(sys.stdlib_module_names))"
    )
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert set(result.stdout.split()) <= {"rnn_jax", "jax", "jaxlib", "numpy", "jaxtyping"}


def test_every_package_imported_is_declared():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    stated = list(itertools.chain(project["dependencies"], *project["optional-dependencies"].values()))
    declared = {re.match(r"[\w-]+", line)[0].lower().replace("-", "_") for line in stated}
    name_of = {"absl": "absl_py", "orbax": "orbax_checkpoint", "sklearn": "scikit_learn", "haiku": "dm_haiku"}
    for path in SOURCES:
        for package in {name.split(".")[0] for name in imports(path)} - set(sys.stdlib_module_names):
            if package not in ("rnn_jax", "experiments"):
                assert name_of.get(package, package).lower() in declared, f"{relative(path)} imports {package}"


@pytest.mark.parametrize("path", [*SOURCES, *TESTS], ids=relative)
def test_annotations_stay_objects(path):
    """Strings in their place would hide shapes from the checker that runs under test."""
    assert "__future__" not in imports(path)


def public_names() -> Iterator[str]:
    """Classes, functions, and methods that the Cell and Layer protocols don't document already."""
    promised = {*vars(rnn_jax.Cell), *vars(rnn_jax.Layer)}
    for name in rnn_jax.__all__:
        thing = getattr(rnn_jax, name)
        if inspect.isclass(thing):
            methods = {attribute for attribute in vars(thing) if callable(getattr(thing, attribute))} - promised
            yield from (f"{name}.{attribute}" for attribute in sorted(methods) if not attribute.startswith("_"))
        if callable(thing):
            yield name


@pytest.mark.parametrize("name", list(public_names()))
def test_public_names_are_documented(name):
    documented = inspect.getdoc(operator.attrgetter(name)(rnn_jax)) or ""
    assert len(documented.split()) >= 4, f"{name} has no docstring of its own"
    assert not documented.startswith(f"{name}("), f"{name} has only the signature that dataclasses make up"


@pytest.mark.parametrize("path", SOURCES, ids=relative)
def test_modules_say_what_they_are(path):
    source = path.read_text(encoding="utf-8")
    assert not source.strip() or ast.get_docstring(ast.parse(source))


@pytest.mark.parametrize("path", LOCKS, ids=relative)
def test_locks_name_no_host_and_no_machine(path):
    text = path.read_text(encoding="utf-8")
    assert not re.search(r"--(extra-)?index-url|--find-links|://|^-e|/(root|home|tmp|Users)/", text, re.MULTILINE)
    assert "uv via the following command:\n#    ./launch.sh lock" in text


@pytest.mark.parametrize("path", [path for path in LOCKS if path.stem not in ("constraints", "lowest")], ids=relative)
def test_locks_are_cuts_of_one_resolution(path):
    """So that two of them (an experiment's and the accelerator's) can go into one environment."""
    constraints = (ROOT / "requirements" / "constraints.txt").read_text(encoding="utf-8")
    pins = re.findall(r"^([\w.-]+==\S+)", path.read_text(encoding="utf-8"), re.MULTILINE)
    assert len(pins) > 50
    assert set(pins) <= set(re.findall(r"^([\w.-]+==\S+)", constraints, re.MULTILINE))


def test_the_runtime_lock_holds_no_other_framework():
    pins = re.findall(r"^([\w.-]+)==", (ROOT / "requirements" / "run.txt").read_text(encoding="utf-8"), re.MULTILINE)
    assert not {"torch", "tensorflow", "keras"} & set(pins)


def test_no_file_names_a_machine():
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("not a git checkout")
    pattern = re.compile(r"(?<![\w.])/(root/|work/|home/(?!someone)|Users/)\w|[a-z]+\.(org|com)/simple\b")
    for name in filter(None, listed.stdout.split("\0")):
        path = ROOT / name
        if path.is_file() and path.suffix != ".png" and path != Path(__file__):
            found = pattern.search(path.read_text(encoding="utf-8"))
            assert not found, f"{name}: {found}"


@pytest.mark.parametrize("script", ["launch.sh", ".ci/run"])
def test_shell_scripts_parse_and_may_be_run(script):
    assert (ROOT / script).stat().st_mode & 0o111
    subprocess.run(["bash", "-n", ROOT / script], check=True)


def code_blocks(name: str, language: str) -> list[str]:
    text = (ROOT / name).read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def test_readme_commands_name_scripts_and_files_that_exist():
    commands = {"test", "lint", "lock"} | {path.stem for path in ROOT.glob("experiments/[a-z]*.py")}
    blocks = code_blocks("README.md", "bash") + code_blocks("CONTRIBUTING.md", "bash")
    called = re.findall(r"\./launch\.sh (\w+)", "\n".join(blocks))
    assert {"sentiment", "test"} <= set(called) <= commands
    for flagfile in re.findall(r"--flagfile=(\S+)", "\n".join(blocks)):
        assert (ROOT / flagfile).is_file(), flagfile


@pytest.mark.parametrize("experiment", ["sentiment", "tagging", "seq2seq", "language_model"])
def test_readme_flags_exist(experiment):
    """Every flag in a README command of an experiment is a knob of its Config, or one that every script has."""
    config = importlib.import_module(f"experiments.{experiment}").Config
    known = {*fields_of(config), *fields_of(Invocation)}
    known |= {"platform", "flagfile", "helpshort"}
    lines = "\n".join(code_blocks("README.md", "bash")).replace("\\\n", "").splitlines()
    assert any(f"launch.sh {experiment}" in line for line in lines)
    for line in lines:
        if f"launch.sh {experiment}" in line:
            assert set(re.findall(r"--(\w+)", line)) <= known, line


def test_readme_flags_of_sweeps_exist():
    known = set(importlib.import_module("experiments.sweep").SweepConfig.__dataclass_fields__)
    lines = [line for line in "\n".join(code_blocks("README.md", "bash")).splitlines() if "launch.sh sweep" in line]
    assert len(lines) >= 5
    for line in lines:
        assert set(re.findall(r"--(\w+)", line)) <= known, line
        assert all((ROOT / file).is_file() for file in re.findall(r"experiments/\S+\.py", line)), line


@pytest.mark.parametrize("path", sorted(ROOT.glob("experiments/recipes/*.flags")), ids=relative)
def test_recipes_are_flags_of_their_experiment(path):
    text = path.read_text(encoding="utf-8")
    experiment = re.search(rf"launch\.sh (\w+) --flagfile={re.escape(relative(path))}", text)[1]
    flag_values = flags.FlagValues()
    define_flags(Invocation, flag_values)
    define_flags(importlib.import_module(f"experiments.{experiment}").Config, flag_values)
    assert flag_values(["x", f"--flagfile={path}"]) == ["x"]
    assert flag_values["dataset"].present
    resolve(importlib.import_module(f"experiments.{experiment}").Config, experiment, flag_values)  # none does nothing


def test_readme_python_runs():
    """One block after the other, in one namespace, as a reader would paste them."""
    names: dict[str, object] = {}
    for block in code_blocks("README.md", "python"):
        exec(compile(block, "README.md", "exec"), names)
