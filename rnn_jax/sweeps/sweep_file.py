"""Reading a sweep file. Whatever is wrong with it, or with one of its rows, is said before anything runs.

A sweep file is Python: a docstring; EXPERIMENT ("sentiment", short for "experiments.sentiment") and METRIC, a name in
result.json; a generator function rows() of override dicts, the baseline first. It may set MAXIMIZE, NUM_SEEDS, CURVE,
CURVE_AXIS and CURVE_LOG, and define space(trial) for a search.
"""

import difflib
import itertools
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import Any

from rnn_jax.config import Field, config_hash, fields_of, value_of, with_overrides
from rnn_jax.errors import UserError
from rnn_jax.metrics.directions import MAXIMISE, MINIMISE, Metrics
from rnn_jax.sweeps.experiment_module import check, import_experiment
from rnn_jax.sweeps.names import row_names, slug_of
from rnn_jax.sweeps.rows import Row, Sweep
from rnn_jax.sweeps.space import Derived

SETTINGS = {
    "EXPERIMENT": str,
    "METRIC": str,
    "MAXIMIZE": bool,
    "NUM_SEEDS": int,
    "CURVE": str,
    "CURVE_AXIS": str,
    "CURVE_LOG": bool,
}
MOST_ROWS = 10_000

_OF_EVERY_RUN: Metrics = {"seconds": MINIMISE, "num_parameters": MINIMISE}


def load_sweep(path: str | Path, overrides: Mapping[str, Any] = MappingProxyType({})) -> Sweep:
    """The sweep of a file; `overrides` are where every row starts from, and a row's own win.

    Raises:
      UserError: the file cannot be run, lacks something, or has a row that its experiment doesn't take.
    """
    file = execute_file(path)
    where = file.__file__
    settings = _settings(file)
    title, _, text = _docstring(file).partition("\n")
    experiment = import_experiment(settings["EXPERIMENT"], str(where))
    metric = settings["METRIC"]
    part, slash, name = metric.partition("/")
    try:
        start = with_overrides(experiment.Config(), overrides)
    except UserError as error:
        raise UserError(f"--set: {error}") from None
    return Sweep(
        path=Path(str(where)),
        title=title.strip(),
        text=text.strip(),
        module=experiment.__name__,
        experiment=experiment.EXPERIMENT,
        config_class=experiment.Config,
        metric=metric,
        maximize=_maximize(settings, experiment, str(where)),
        curve=settings.get("CURVE", f"validation/{name}" if slash and part == "test" else ""),
        curve_axis=settings.get("CURVE_AXIS", "step"),
        curve_log=settings.get("CURVE_LOG", False),
        rows=_rows(file, experiment, start),
        num_seeds=settings.get("NUM_SEEDS", 1),
    )


def _maximize(settings: Mapping[str, Any], experiment: ModuleType, where: str) -> bool:
    """Whether more of the metric is better: as the file says, else as the experiment does."""
    metric, declared = settings["METRIC"], _OF_EVERY_RUN | experiment.METRICS
    name = metric.rpartition("/")[2]
    if "MAXIMIZE" in settings:
        return bool(settings["MAXIMIZE"])
    if name not in declared:
        raise UserError(
            f"{where}: METRIC = {metric!r}: {experiment.EXPERIMENT} does not say which way it is better"
            f" (it does of {', '.join(experiment.METRICS)}). Add MAXIMIZE = True or MAXIMIZE = False."
        )
    return declared[name] == MAXIMISE


def load_space(path: str | Path) -> Callable[[Any], Any]:
    """The function space(trial) of a sweep file; UserError if it has none."""
    file = execute_file(path)
    if not callable(space := getattr(file, "space", None)):
        raise UserError(
            f"{file.__file__} has no function space(trial), which --search needs: it returns a dict of overrides, "
            "as in {'learning_rate': trial.suggest_float('learning_rate', 1e-4, 1e-1, log=True)}"
        )
    return space


def parse_settings(texts: Sequence[str]) -> dict[str, str]:
    """The overrides of --set=data_dir=/data,num_epochs=2. A part without "=" belongs to the value before it.

    Raises:
      UserError: the first part has no "=".
    """
    overrides: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if equals:
            overrides[name.strip()] = value
        elif overrides:
            last = next(reversed(overrides))
            overrides[last] += f",{text}"
        else:
            raise UserError(f"--set={text}: expected field=value, as in --set=data_dir=/data,num_epochs=2")
    return overrides


def execute_file(path: str | Path) -> ModuleType:
    """A sweep file as a module that nobody else sees; UserError with file and line where it fails."""
    absolute = Path(path).expanduser().absolute()
    try:
        source = absolute.read_bytes()
    except OSError as error:
        raise UserError(f"cannot read the sweep file {path} ({error.strerror})") from None
    module = ModuleType("sweep_file")
    module.__file__ = str(absolute)
    try:
        exec(compile(source, str(absolute), "exec", dont_inherit=True), vars(module))
    except SyntaxError as error:
        raise UserError(f"{error.filename}, line {error.lineno}: {error.msg}") from None
    except Exception as error:
        raise _failed_in(absolute, error) from error
    return module


def _failed_in(path: Path, error: Exception) -> UserError:
    """What a file's code raised, with the last of its lines that led there."""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
    kind = "" if isinstance(error, UserError) else f"{type(error).__name__}: "
    return UserError(f"{path}, line {lines[-1] if lines else '?'}: {kind}{' '.join(str(error).split())}")


def _docstring(file: ModuleType) -> str:
    if not (file.__doc__ or "").strip():
        raise UserError(f"{file.__file__} has no docstring: its first line is the title of the report")
    return str(file.__doc__).strip()


def _settings(file: ModuleType) -> dict[str, Any]:
    found = {name: value for name, value in vars(file).items() if name.isupper()}
    for name in found.keys() - SETTINGS.keys():
        if near := difflib.get_close_matches(name, SETTINGS, n=1, cutoff=0.85):
            raise UserError(
                f"{file.__file__}: {name} is no setting of a sweep. Did you mean {near[0]}? "
                "(A constant of your own needs a name that is less like it.)"
            )
    for name in ("EXPERIMENT", "METRIC"):
        if not found.get(name):
            example = {"EXPERIMENT": "sentiment", "METRIC": "test/accuracy"}[name]
            raise UserError(f"{file.__file__} has no {name}: add a line such as {name} = {example!r}")
    settings = {name: found[name] for name in SETTINGS if name in found}
    for name, value in settings.items():
        if type(value) is not SETTINGS[name]:
            raise UserError(f"{file.__file__}: {name} = {value!r}: expected {SETTINGS[name].__name__}")
    if settings.get("NUM_SEEDS", 1) < 1:
        raise UserError(f"{file.__file__}: NUM_SEEDS = {settings['NUM_SEEDS']}: must be at least 1")
    return settings


def _rows(file: ModuleType, experiment: ModuleType, start: Any) -> tuple[Row, ...]:
    configs: list[Any] = []
    overrides: list[dict[str, Any]] = []
    given: list[str] = []  # how each is named in messages
    number_of: dict[str, int] = {}
    for number, row in enumerate(_given_rows(file), start=1):
        label = f"row {number}, {row!r}"
        config, values = _configuration(experiment, start, row, f"{file.__file__}: {label}")
        digest = config_hash(with_overrides(config, {"seed": 0}))
        if digest not in number_of:
            number_of[digest] = len(configs)
            configs.append(config)
            overrides.append(values)
            given.append(label)
        elif not isinstance(row, Derived):
            before = number_of[digest]
            raise UserError(f"{file.__file__}: {label} {_same(config, configs[before], given[before])}")
    names = row_names(configs, overrides[0])
    return tuple(
        Row(name, values, config, slug_of(name, config))
        for name, values, config in zip(names, overrides, configs, strict=True)
    )


def _same(config: Any, other: Any, label: str) -> str:
    if value_of(config, "seed") == value_of(other, "seed"):
        return f"is the same configuration as {label}: leave one of them out"
    return f"differs from {label} only in the seed: NUM_SEEDS and --num_seeds are for that"


def _given_rows(file: ModuleType) -> list[Any]:
    function = getattr(file, "rows", None)
    if not callable(function):
        raise UserError(f"{file.__file__} has no function rows(): it yields dicts of overrides, the baseline first")
    try:
        rows = function()
        usable = isinstance(rows, Iterable) and not isinstance(rows, (str, Mapping))
        found = list(itertools.islice(rows, MOST_ROWS + 1)) if usable else []
    except Exception as error:
        raise _failed_in(Path(str(file.__file__)), error) from error
    if not usable:
        raise UserError(f"{file.__file__}: rows() gave {rows!r}: it yields dicts of overrides, the baseline first")
    if not found:
        raise UserError(f"{file.__file__}: rows() yields nothing: the baseline, {{}}, is the least")
    if len(found) > MOST_ROWS:
        raise UserError(f"{file.__file__}: rows() yields more than {MOST_ROWS:,} rows; does it end?")
    return found


def _configuration(experiment: ModuleType, start: Any, row: Any, label: str) -> tuple[Any, dict[str, Any]]:
    """The configuration of a row, and its overrides as that has them."""
    if not isinstance(row, Mapping) or not all(isinstance(name, str) for name in row):
        raise UserError(f"{label}: expected a dict from fields to values, such as {{'cell': 'gru'}}")
    try:
        config = apply_overrides(start, row)
        check(experiment, config)
    except UserError as error:
        raise UserError(f"{label}: {error}") from None
    return config, {name: value_of(config, name) for name in row}


def apply_overrides(config: Any, overrides: Mapping[str, Any]) -> Any:
    """As `with_overrides`, for what people write in Python: 64 for a list of one, NumPy's numbers."""
    knobs = fields_of(type(config))
    return with_overrides(config, {name: _as_given(knobs.get(name), value) for name, value in overrides.items()})


def _as_given(knob: Field | None, value: Any) -> Any:
    """NumPy's numbers as Python's, and for a knob that takes a list: one value as a list, texts as a flag has them.

    (A flag's list is split at every comma: ["a,b"] and ["a", "b"] must be the same configuration.)
    """
    if knob is not None and knob.many and not isinstance(value, str):
        values = list(value) if isinstance(value, Iterable) else [value]
        texts = values and all(isinstance(element, str) for element in values)
        return ",".join(values) if texts else [_plain(element) for element in values]
    return _plain(value)


def _plain(value: Any) -> Any:
    return value.item() if hasattr(value, "item") and getattr(value, "ndim", 0) == 0 else value
