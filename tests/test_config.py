"""Configurations: flags, JSON, overrides, hashes, and the messages for what is wrong."""

import dataclasses
import json

import pytest
from absl import flags

from rnn_jax.config import (
    config_from_dict,
    config_from_flags,
    config_hash,
    config_to_dict,
    define_flags,
    differences,
    given_flags,
    knob,
    validate,
    with_overrides,
)
from rnn_jax.errors import UserError


@dataclasses.dataclass(frozen=True)
class Group:
    rate: float = knob(0.1, "learning rate", minimum=0.0, maximum=1.0)
    data_dir: str = knob("", "where data lies", identity=False)


@dataclasses.dataclass(frozen=True)
class Config(Group):
    steps: int = knob(100, "updates", minimum=1)
    cell: str = knob("lstm", "recurrent cell", choices=("lstm", "gru"))
    reverse: bool = knob(False, "read backwards")
    peephole: bool | None = knob(None, "decided by the cell if none")
    limit: int | None = knob(None, "tokens")
    widths: tuple[int, ...] = knob((64, 32), "layer widths", minimum=1)
    scales: tuple[float, ...] = knob((), "scales")
    names: tuple[str, ...] = knob(("a",), "names")


def parse(*arguments: str) -> tuple[Config, flags.FlagValues]:
    values = flags.FlagValues()
    define_flags(Config, values)
    values(["program", *arguments])
    return config_from_flags(Config, values), values


def test_no_flags_give_the_defaults():
    assert parse()[0] == Config()


def test_every_type_of_flag():
    config, values = parse(
        "--rate=0.5",
        "--steps=2e6",
        "--cell=gru",
        "--reverse",
        "--nopeephole",
        "--limit=1_000",
        "--widths=400, 2e2",
        "--scales=1,0.5",
        "--names=x,y",
        "--data_dir=/d",
    )
    assert config == Config(0.5, "/d", 2_000_000, "gru", True, False, 1000, (400, 200), (1.0, 0.5), ("x", "y"))
    assert isinstance(config.steps, int) and all(isinstance(scale, float) for scale in config.scales)
    assert set(given_flags(Config, values)) == set(config_to_dict(Config()))


def test_none_empty_lists_and_negated_switches():
    config, values = parse("--limit=none", "--widths=", "--noreverse", "--peephole=None")
    assert (config.limit, config.widths, config.reverse, config.peephole) == (None, (), False, None)
    assert set(given_flags(Config, values)) == {"limit", "widths", "reverse", "peephole"}


def test_flagfile_and_later_flags_win(tmp_path):
    (tmp_path / "recipe.flags").write_text("# comment\n--steps=7\n--cell=gru\n--reverse\n")
    config, _ = parse(f"--flagfile={tmp_path}/recipe.flags", "--steps=8")
    assert config == Config(steps=8, cell="gru", reverse=True)


def test_flags_written_by_absl_are_read_back(tmp_path):
    config, values = parse("--rate=0.30000000000000004", "--widths=3,4", "--reverse", "--limit=5", "--names=u,v")
    (tmp_path / "written.flags").write_text(values.flags_into_string())
    assert parse(f"--flagfile={tmp_path}/written.flags")[0] == config


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("--cell=gro", "flag --cell=gro: allowed: lstm, gru. Did you mean gru?"),
        ("--steps=0", "flag --steps=0: must be at least 1"),
        ("--steps=1.5", "flag --steps=1.5: expected an integer, such as 100 or 2e6"),
        ("--steps=ten", "flag --steps=ten: expected an integer, such as 100 or 2e6"),
        ("--steps=nan", "flag --steps=nan: expected an integer, such as 100 or 2e6"),
        ("--rate=1.5", "flag --rate=1.5: must be between 0.0 and 1.0"),
        ("--rate=nan", "flag --rate=nan: expected a finite number"),
        ("--reverse=maybe", "flag --reverse=maybe: expected true or false"),
        ("--limit=x", "flag --limit=x: expected an integer, such as 100 or 2e6 or none"),
        ("--widths=3,0", "flag --widths=3,0: must be at least 1"),
        ("--widths=3,x", "flag --widths=3,x: expected an integer, such as 100 or 2e6"),
        ("--stepz=3", "Unknown command line flag 'stepz'. Did you mean: steps ?"),
    ],
)
def test_wrong_flags_name_the_flag_and_what_is_allowed(argument, message):
    with pytest.raises(flags.Error) as caught:
        parse(argument)
    assert str(caught.value) == message


def test_json_round_trip_is_exact():
    config = Config(rate=0.1 + 0.2, widths=(1, 2), limit=3, peephole=True)
    read = config_from_dict(Config, json.loads(json.dumps(config_to_dict(config))))
    assert read == config and read.rate.hex() == (0.1 + 0.2).hex() and isinstance(read.widths, tuple)


def test_missing_fields_take_their_defaults():
    assert config_from_dict(Config, {"steps": 3}) == Config(steps=3)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"step": 3}, "unknown configuration field 'step'. Did you mean steps?"),
        ({"steps": "3"}, "steps='3': expected an integer, such as 100 or 2e6"),
        ({"steps": True}, "steps=True: expected an integer, such as 100 or 2e6"),
        ({"steps": None}, "steps=None: expected an integer, such as 100 or 2e6"),
        ({"cell": "rnn"}, "cell='rnn': allowed: lstm, gru."),
        ({"widths": "3,4"}, "widths='3,4': expected a list of values, each an integer, such as 100 or 2e6"),
        ({"widths": 3}, "widths=3: expected a list of values, each an integer, such as 100 or 2e6"),
        ({"reverse": 1}, "reverse=1: expected true or false"),
        ({"rate": float("inf")}, "rate=inf: expected a finite number"),
    ],
)
def test_wrong_json_names_the_field(values, message):
    with pytest.raises(UserError) as caught:
        config_from_dict(Config, values)
    assert str(caught.value) == message


def test_overrides_read_texts_as_flags_and_values_as_they_are():
    config = with_overrides(Config(), {"steps": "2e3", "widths": "5,6", "limit": "none", "rate": 1, "cell": "gru"})
    assert config == Config(steps=2000, widths=(5, 6), rate=1.0, cell="gru")
    assert isinstance(config.rate, float)
    assert with_overrides(Config(), {"widths": [7]}).widths == (7,)
    with pytest.raises(UserError, match=r"unknown configuration field 'sell'. Did you mean cell?"):
        with_overrides(Config(), {"sell": "gru"})
    with pytest.raises(UserError, match=r"steps='x': expected an integer"):
        with_overrides(Config(), {"steps": "x"})


def test_hash_and_differences_see_identity_fields_only():
    config = Config()
    moved = dataclasses.replace(config, data_dir="/elsewhere")
    changed = dataclasses.replace(config, steps=5, widths=(1,))
    assert config_hash(moved) == config_hash(config) != config_hash(changed)
    assert differences(config, moved) == []
    assert differences(config, changed) == [("steps", 100, 5), ("widths", [64, 32], [1])]
    assert config_hash(Config(rate=1)) == config_hash(Config(rate=1.0))  # type: ignore[arg-type]


def test_validate_catches_what_the_constructor_lets_through():
    validate(Config())
    with pytest.raises(UserError, match=r"steps=-1: must be at least 1"):
        validate(Config(steps=-1))


def test_a_class_with_a_bad_knob_is_refused():
    @dataclasses.dataclass(frozen=True)
    class Wrong:
        cell: str = knob("rnn", "cell", choices=("lstm",))

    @dataclasses.dataclass(frozen=True)
    class Odd:
        table: bytes = b""

    with pytest.raises(TypeError, match=r"default of Wrong.cell: allowed: lstm"):
        define_flags(Wrong, flags.FlagValues())
    with pytest.raises(TypeError, match=r"Odd.table: a knob cannot have type"):
        define_flags(Odd, flags.FlagValues())


@dataclasses.dataclass(frozen=True)
class Open:
    decay: float = knob(0.9, "of an average", minimum=0.0, below=1.0)
    epsilon: float = knob(1e-8, "of a denominator", above=0.0)
    both: float = knob(0.5, "between, without the ends", above=0.0, below=1.0)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"decay": 1.0}, "decay=1.0: must be at least 0.0 and below 1.0"),
        ({"decay": 0.99999999}, "decay=0.99999999: must be at least 0.0 and below 1.0"),  # 1 in float32
        ({"decay": 1e300}, r"decay=1e\+300: must be at least 0.0 and below 1.0"),
        ({"epsilon": 0}, "epsilon=0: must be above 0.0"),
        ({"epsilon": 1e-50}, "epsilon=1e-50: must be above 0.0"),
        ({"both": 1}, "both=1: must be above 0.0 and below 1.0"),
    ],
)
def test_bounds_that_may_not_be_reached(given, message):
    with pytest.raises(UserError, match=message):
        with_overrides(Open(), given)
    assert with_overrides(Open(), {"decay": 0, "epsilon": 1e-37, "both": 0.9999999}) == Open(0.0, 1e-37, 0.9999999)
