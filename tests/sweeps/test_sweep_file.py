"""Reading sweep files: what a good one becomes, and what each kind of bad one is told."""

import dataclasses
import sys
from pathlib import Path

import hypothesis
import numpy as np
import pytest
from absl import flags
from hypothesis import given
from hypothesis import strategies as st

from experiments import tagging
from rnn_jax.config import config_from_flags, config_hash, define_flags, fields_of, value_of, with_overrides
from rnn_jax.config.values import LARGEST_INT32
from rnn_jax.errors import UserError
from rnn_jax.sweeps.commands import command_of, shell_line
from rnn_jax.sweeps.rows import expand
from rnn_jax.sweeps.sweep_file import load_sweep, parse_settings
from rnn_jax.sweeps.workdir import reopen_sweep, stored_document
from rnn_jax.training.run_config import Invocation
from tests.sweeps.fake_experiment import Config
from tests.sweeps.sweep_texts import HEAD, sweep_text, write_sweep_file

ROOT = Path(__file__).parents[2]


def test_a_sweep_file_becomes_a_sweep(tmp_path):
    path = write_sweep_file(tmp_path, {}, {"rate": 0.25}, {"cell": "gru, lstm", "limit": 3}, NUM_SEEDS=4)
    modules = set(sys.modules)
    sweep = load_sweep(path)
    assert set(sys.modules) == modules
    assert (sweep.path, sweep.title, sweep.text) == (path, "A title.", "What it teaches.")
    assert (sweep.module, sweep.experiment, sweep.config_class) == ("tests.sweeps.fake_experiment", "fake", Config)
    assert (sweep.metric, sweep.maximize, sweep.num_seeds) == ("test/error", False, 4)
    assert (sweep.curve, sweep.curve_axis, sweep.curve_log) == ("validation/error", "step", False)
    assert [row.name for row in sweep.rows] == ["baseline", "rate=0.25", "cell=gru,lstm, limit=3"]
    assert [row.config for row in sweep.rows] == [
        Config(),
        Config(rate=0.25),
        Config(cell=("gru", "lstm"), limit=3),
    ]
    assert sweep.rows[2].overrides == {"cell": ("gru", "lstm"), "limit": 3}
    assert sweep.rows[2].slug == f"cell-gru-lstm-limit-3-{config_hash(Config(cell=('gru', 'lstm'), limit=3))[:8]}"


def test_settings_of_the_file(tmp_path):
    settings = {"CURVE": "", "CURVE_AXIS": "update", "CURVE_LOG": True, "MAXIMIZE": True}
    sweep = load_sweep(write_sweep_file(tmp_path, {}, **settings))
    assert (sweep.curve, sweep.curve_axis, sweep.curve_log, sweep.maximize) == ("", "update", True, True)


@pytest.mark.parametrize("metric", ["test/wer", "test/mae", "validation/nll", "test/accuracy_of_nobody"])
def test_a_metric_that_nobody_declared_must_be_given_a_direction(tmp_path, metric):
    """Guessing from the name took less of an error for worse."""
    (tmp_path / "a.py").write_text(sweep_text({}).replace("test/error", metric))
    with pytest.raises(
        UserError, match=f"METRIC = '{metric}': fake does not say which way it is better .it does of error"
    ):
        load_sweep(tmp_path / "a.py")
    (tmp_path / "a.py").write_text(sweep_text({}, MAXIMIZE=False).replace("test/error", metric))
    assert load_sweep(tmp_path / "a.py").maximize is False


def test_a_row_whose_change_does_nothing_is_refused(tmp_path):
    text = sweep_text({}, {"momentum": 0.5}).replace("tests.sweeps.fake_experiment", "sentiment")
    (tmp_path / "a.py").write_text(text.replace("test/error", "test/accuracy"))
    with pytest.raises(UserError, match="row 2.*--momentum needs --optimizer=momentum"):
        load_sweep(tmp_path / "a.py")


def test_rows_are_named_by_what_differs_from_the_baseline(tmp_path):
    rows = {"rate": 0.25, "wide": True}, {"rate": 0.25}, {"rate": 0.25, "wide": True, "seed": 0, "limit": 2}, {}
    sweep = load_sweep(write_sweep_file(tmp_path, *rows))
    assert [row.name for row in sweep.rows] == [
        "rate=0.25, wide=true",
        "wide=false",
        "limit=2",
        "rate=0.5, wide=false",
    ]


def test_slugs_stay_when_rows_are_added_or_moved(tmp_path):
    long = {"cell": ",".join(["a_cell_with_a_long_name"] * 9)}
    before = load_sweep(write_sweep_file(tmp_path, {}, {"rate": 0.25}, long)).rows
    after = load_sweep(write_sweep_file(tmp_path, {}, long, {"rate": 0.125}, {"rate": 0.25, "data_dir": "/x"})).rows
    assert [row.slug for row in before] == [after[0].slug, after[3].slug, after[1].slug]
    assert len({row.slug for row in after}) == 4
    assert all(len(row.slug) <= 69 and row.slug.replace("-", "a").isidentifier for row in after)
    assert len(after[1].slug) > 60


def test_values_as_flags_and_as_python_are_the_same(tmp_path):
    """A list for one value of a list, NumPy's numbers, and commas inside a text, where a flag would split."""
    path = tmp_path / "typed.py"
    body = """
import numpy as np
def rows():
    yield {"cell": ["x(1,2)", "y"], "num_steps": np.int64(3), "rate": np.float32(0.25), "wide": np.bool_(True)}
    yield {"cell": "gru", "num_steps": "2e3", "wide": "false", "limit": "none"}
    yield {"cell": ("gru",), "num_steps": 2e3, "limit": "7"}
"""
    path.write_text(HEAD + body)
    assert [row.config for row in load_sweep(path).rows] == [
        Config(cell=("x(1", "2)", "y"), num_steps=3, rate=0.25, wide=True),
        Config(cell=("gru",), num_steps=2000),
        Config(cell=("gru",), num_steps=2000, limit=7),
    ]


def test_helpers_may_meet_the_baseline_again(tmp_path):
    """Only the reader knows that the experiment's own cell is lstm."""
    path = tmp_path / "helped.py"
    path.write_text(
        HEAD + "from rnn_jax.sweeps import grid, one_at_a_time\n"
        "def rows():\n    yield from grid(cell=['lstm', 'gru'], rate=[0.5, '0.5', 0.25])\n"
    )
    names = [row.name for row in load_sweep(path).rows]
    assert names == ["baseline", "rate=0.25", "cell=gru", "cell=gru, rate=0.25"]


def test_overrides_are_where_every_row_starts_from(tmp_path):
    path = write_sweep_file(tmp_path, {}, {"rate": 0.25}, {"num_steps": 7})
    sweep = load_sweep(path, parse_settings(("rate=0.75", "cell=a", "b", "data_dir=/a=b")))
    start = Config(rate=0.75, cell=("a", "b"), data_dir="/a=b")
    assert [row.config for row in sweep.rows] == [
        start,
        dataclasses.replace(start, rate=0.25),
        dataclasses.replace(start, num_steps=7),
    ]
    assert [row.name for row in sweep.rows] == ["baseline", "rate=0.25", "num_steps=7"]
    assert sweep.rows[1].overrides == {"rate": 0.25}
    with pytest.raises(UserError, match="--set: unknown configuration field 'rates'. Did you mean rate?"):
        load_sweep(path, {"rates": "1"})
    with pytest.raises(UserError, match="--set=0.1: expected field=value"):
        parse_settings(("0.1",))


def test_every_seed_of_a_row_has_its_own_directory(tmp_path):
    sweep = load_sweep(write_sweep_file(tmp_path, {"seed": 5}, {"seed": 5, "rate": 0.25}))
    runs = expand(sweep, tmp_path / "w", 2)
    assert [(run.row, run.seed, run.config) for run in runs] == [
        (0, 5, Config(seed=5)),
        (0, 6, Config(seed=6)),
        (1, 5, Config(seed=5, rate=0.25)),
        (1, 6, Config(seed=6, rate=0.25)),
    ]
    assert runs[3].directory == tmp_path / "w" / "runs" / sweep.rows[1].slug / "seed_6"


def of_experiment(name):
    return sweep_text({}).replace("tests.sweeps.fake_experiment", name)


BAD = {
    "no docstring": (HEAD[HEAD.index("EXPERIMENT") :] + "def rows():\n  yield {}", ["no docstring"]),
    "no experiment": ('"""T."""\nMETRIC = "a"', ["has no EXPERIMENT", "EXPERIMENT = 'sentiment'"]),
    "no metric": ('"""T."""\nEXPERIMENT = "sentiment"', ["has no METRIC", "METRIC = 'test/accuracy'"]),
    "misspelt experiment": (of_experiment("sentimnet"), ["'sentimnet'", "Did you mean sentiment?"]),
    "no module": (of_experiment("tests.nothing.here"), ["'tests.nothing.here'", "nor the full name"]),
    "no name": (of_experiment("../a.py"), ["'../a.py' is no module"]),
    "no Config": (of_experiment("json"), ["is no experiment", "Config, EXPERIMENT, METRICS"]),
    "misspelt setting": (sweep_text({}, NUM_SEED=3), ["NUM_SEED is no setting", "Did you mean NUM_SEEDS?"]),
    "setting's type": (sweep_text({}, NUM_SEEDS="3"), ["NUM_SEEDS = '3': expected int"]),
    "no seeds": (sweep_text({}, NUM_SEEDS=0), ["at least 1"]),
    "syntax": (HEAD + "def rows(:\n", ["bad.py, line 7", "invalid syntax"]),
    "exception": (HEAD + "x = {}\nx['a']\n", ["bad.py, line 8: KeyError: 'a'"]),
    "exception in rows": (HEAD + "def rows():\n  yield {}\n  1 / 0\n", ["line 9: ZeroDivisionError"]),
    "refused by a helper": (
        HEAD + "from rnn_jax.sweeps import grid\ndef rows():\n  yield from grid(\n    {}, cell='gru')\n",
        ["line 9: cell='gru': give a list"],
    ),
    "no rows": (HEAD, ["no function rows()"]),
    "rows is a list": (HEAD + "rows = [{}]\n", ["no function rows()"]),
    "rows gives nothing": (HEAD + "def rows():\n  pass\n", ["bad.py: rows() gave None: it yields dicts"]),
    "empty": (HEAD + "def rows():\n  return []\n", ["yields nothing"]),
    "endless": (HEAD + "import itertools\ndef rows():\n  return itertools.repeat({})\n", ["more than 10,000"]),
    "not a dict": (sweep_text({}, "gru"), ["row 2, 'gru': expected a dict"]),
    "unknown field": (sweep_text({}, {"rat": 1.0}), ["row 2, {'rat': 1.0}: unknown", "Did you mean rate?"]),
    "wrong type": (sweep_text({"num_steps": "many"}), ["row 1, {'num_steps': 'many'}", "expected an integer"]),
    "out of bounds": (sweep_text({}, {"rate": 2}), ["row 2, {'rate': 2}", "between 0.0 and 1.0"]),
    "not finite": (sweep_text({}, {"rate": "nan"}), ["rate='nan': expected a finite number"]),
    "not a choice": (sweep_text({}, {"trouble": "bugs"}), ["allowed: ", "Did you mean bug?"]),
    "what the experiment refuses": (sweep_text({}, {"wide": True, "rate": 0.125}), ["row 2, ", "needs another --rate"]),
    "twice the same": (
        sweep_text({}, {"rate": 0.25}, {"rate": "0.25", "pause": 1}),
        ["row 3, {'rate': '0.25', 'pause': 1} is the same configuration as row 2, {'rate': 0.25}"],
    ),
    "the baseline again": (sweep_text({}, {"cell": "lstm"}), ["row 2, {'cell': 'lstm'} is the same", "row 1, {}"]),
    "only the seed": (sweep_text({}, {"seed": 1}), ["differs from row 1, {} only in the seed", "--num_seeds"]),
}


@pytest.mark.parametrize("text,words", BAD.values(), ids=BAD)
def test_bad_files_are_told_what_is_wrong(text, words, tmp_path):
    (tmp_path / "bad.py").write_text(text)
    with pytest.raises(UserError) as error:
        load_sweep(tmp_path / "bad.py")
    message = str(error.value)
    assert all(word in message for word in [*words, "bad.py"]), message
    assert "\n" not in message


def test_no_file(tmp_path):
    with pytest.raises(UserError, match="cannot read the sweep file .*No such file"):
        load_sweep(tmp_path / "absent.py")


def values_of(field):
    """Everything that a knob allows and a command line can carry."""
    numbers = {"min_value": field.minimum, "max_value": field.maximum}
    if field.choices is not None:
        one = st.sampled_from(field.choices)
    elif field.base is float:
        one = st.floats(**numbers, allow_nan=False, allow_infinity=False)
        # Open bounds hold in float32 too, in which runs compute: see `knob`.
        if field.above is not None or field.below is not None:
            one = one.filter(lambda value: value == 0 or 1e-30 < abs(value) < 1e30)
        if field.above is not None:
            one = one.filter(lambda value: np.float32(value) > field.above)
        if field.below is not None:
            one = one.filter(lambda value: np.float32(value) < field.below)
    elif field.base is int:
        within = {"min_value": -LARGEST_INT32, "max_value": LARGEST_INT32}
        one = st.integers(**within | {name: bound for name, bound in numbers.items() if bound is not None})
    elif field.base is bool:
        one = st.booleans()
    elif field.many:
        one = st.from_regex(r"[^\s,\x00]([^,\x00]*[^\s,\x00])?", fullmatch=True)
    else:
        one = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))
    if field.many:
        return st.lists(one, max_size=3).map(tuple)
    return st.none() | one.filter(lambda value: str(value).lower() != "none") if field.optional else one


def configurations(config_class):
    fields = fields_of(config_class).values()
    chosen = st.lists(st.sampled_from(list(fields)), max_size=6, unique=True)
    return chosen.flatmap(lambda fields: st.fixed_dictionaries({field.name: values_of(field) for field in fields}))


FLAGS = {}
for config_class in (Config, tagging.Config):
    FLAGS[config_class] = flags.FlagValues()
    define_flags(Invocation, FLAGS[config_class])
    define_flags(config_class, FLAGS[config_class])


@pytest.mark.parametrize("config_class", FLAGS)
@hypothesis.settings(max_examples=40)
@given(data=st.data())
def test_a_command_gives_its_configuration_back(config_class, data):
    changes = data.draw(configurations(config_class))
    config = with_overrides(config_class(), changes)
    command = command_of("experiments.x", config, "/a b/run")
    assert command[:2] == ("-m", "experiments.x") and command[-1] == "--workdir=/a b/run"
    assert len(command) == 3 + sum(value != value_of(config_class(), name) for name, value in changes.items())
    parsed = FLAGS[config_class]
    parsed.unparse_flags()
    for name in parsed:
        parsed[name].unparse()
    assert parsed(["x", *command[2:]]) == ["x"]
    assert parsed.workdir == "/a b/run"
    assert config_from_flags(config_class, parsed) == config


def test_commands_by_hand():
    config = Config(cell=("gru", "lstm"), wide=True, limit=0, rate=1e-07, data_dir="it's here")
    command = command_of("experiments.fake", config, "runs/a")
    assert shell_line(command) == (
        "python -m experiments.fake --cell=gru,lstm --rate=1e-07 --wide --limit=0 "
        """'--data_dir=it'"'"'s here' --workdir=runs/a"""
    )


@pytest.mark.parametrize("path", sorted(ROOT.glob("experiments/sweeps/[a-z]*.py")), ids=lambda path: path.stem)
def test_shipped_sweeps_are_valid(path, tmp_path):
    sweep = load_sweep(path)
    assert len(sweep.rows) >= 2
    runs = expand(sweep, tmp_path, sweep.num_seeds)
    assert len({run.directory for run in runs}) == len(sweep.rows) * sweep.num_seeds


def test_a_damaged_directory_of_a_sweep_names_what_is_wrong(tmp_path):
    (tmp_path / "sweep.json").write_text('{"name": "cells", "module": "m", "rows": {}}')
    for read in (stored_document, reopen_sweep):
        with pytest.raises(UserError, match=r"sweep.json is damaged \(no usable file, .*, rows\): restore it"):
            read(tmp_path)
