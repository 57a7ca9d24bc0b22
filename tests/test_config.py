"""Configurations: flags, JSON, overrides, hashes, and the messages for what is wrong."""

import dataclasses
import json
import re

import pytest
from absl import flags

from rnn_jax.config import (
    ABOVE_ONE,
    ABOVE_ZERO,
    GIVEN,
    NOT_GIVEN,
    any_of,
    config_from_dict,
    config_from_flags,
    config_hash,
    config_to_dict,
    define_flags,
    differences,
    fields_of,
    flat_values,
    given_flags,
    group,
    knob,
    refuse_empty,
    refuse_idle,
    refuse_idle_changes,
    validate,
    value_of,
    when,
    with_overrides,
)
from rnn_jax.config.help import help_text
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


def test_a_text_that_is_given_empty_is_refused_but_to_take_one_back(tmp_path):
    """As of a shell variable that is not set; not after a value, and not where an empty text says something."""
    refused = r"^--data_dir= is empty \(a shell variable that is not set\?\): give a value, or leave it out$"
    with pytest.raises(UserError, match=refused):
        refuse_empty(["data_dir"], Config, parse("--data_dir=")[1])
    (tmp_path / "recipe.flags").write_text("--data_dir=/d\n")
    config, values = parse(f"--flagfile={tmp_path}/recipe.flags", "--data_dir=")
    refuse_empty(["data_dir"], Config, values)
    assert config == Config()
    refuse_empty(["data_dir", "names", "widths", "cell"], Config, parse("--names=", "--widths=")[1])


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
        ("--steps=1e15", "flag --steps=1e15: must be at most 2147483647"),
        ("--limit=-1e15", "flag --limit=-1e15: must be at least -2147483647"),
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
        ({"rate": 10**400}, f"rate={10**400}: expected a finite number"),
        ({"steps": 1e300}, "steps=1e+300: must be at most 2147483647"),
        ({"widths": [2**31]}, "widths=[2147483648]: must be at most 2147483647"),
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


@dataclasses.dataclass(frozen=True)
class Cells:
    cell: str = knob("lstm", "recurrent cell", choices=("lstm", "gru"), short=True)
    sizes: tuple[int, ...] = knob((128,), "hidden sizes", minimum=1, former=("size",))
    both: bool = knob(False, "read in both directions")
    merge: str = knob("concat", "how directions are merged", only_if=when(both=True))


@dataclasses.dataclass(frozen=True)
class Rule:
    optimizer: str = knob("adam", "update rule", choices=("sgd", "momentum", "adam", "adamw"))
    momentum: float = knob(0.9, "coefficient", only_if=when(optimizer="momentum"))
    beta1: float = knob(0.9, "decay of the gradient average", only_if=when(optimizer=("adam", "adamw")))
    l2: float = knob(0.0, "penalty", minimum=0.0)


@dataclasses.dataclass(frozen=True)
class Composed:
    encoder: Cells = group(Cells, "model", both=True)
    decoder: Cells = group(Cells, "model", prefix="decoder_", sizes=(16,))
    rule: Rule = group(Rule, "optimiser")
    smoothing: float = knob(0.0, "of the target", maximum=0.9)
    num_best: int = knob(1, "answers to list", only_if=when(mode="predict"), identity=False)


@dataclasses.dataclass(frozen=True)
class Doing:
    mode: str = knob("train", "what to do", choices=("train", "predict"))
    dry_run: bool = knob(False, "only say it", only_if=when(mode="train"))


def parse_composed(*arguments: str) -> tuple[Composed, dict]:
    values = flags.FlagValues()
    define_flags(Composed, values)
    values(["program", *arguments])
    return config_from_flags(Composed, values), given_flags(Composed, values)


def test_composed_configurations_are_flat_outside():
    names = ["cell", "sizes", "both", "merge", "decoder_cell", "decoder_sizes", "decoder_both", "decoder_merge"]
    names += ["optimizer", "momentum", "beta1", "l2", "smoothing", "num_best"]
    assert list(fields_of(Composed)) == list(flat_values(Composed())) == names
    field = fields_of(Composed)["decoder_sizes"]
    assert (field.path, field.heading, field.default) == (("decoder", "sizes"), "model", (16,))
    config, given = parse_composed("--cell=gru", "--decoder_sizes=7", "--nodecoder_both", "--l2=1e-4", "--smoothing=.1")
    assert config == Composed(Cells("gru", both=True), Cells(sizes=(7,)), Rule(l2=1e-4), 0.1)
    assert given == {"cell": "gru", "decoder_sizes": (7,), "decoder_both": False, "l2": 1e-4, "smoothing": 0.1}
    assert config_from_dict(Composed, json.loads(json.dumps(config_to_dict(config)))) == config
    assert value_of(config, "decoder_sizes") == (7,)
    assert flat_values(config) == {**flat_values(Composed()), **given}
    assert with_overrides(Composed(), {"decoder_sizes": "7,8"}).decoder == Cells(sizes=(7, 8))
    assert differences(Composed(), config)[:2] == [("cell", "lstm", "gru"), ("decoder_sizes", [16], [7])]
    assert config_from_dict(Composed, {}) == Composed()


def test_rules_hold_within_groups():
    validate(Composed())
    with pytest.raises(UserError, match=r"decoder_sizes=\(0,\): must be at least 1"):
        validate(Composed(decoder=Cells(sizes=(0,))))
    with pytest.raises(UserError, match=r"unknown configuration field 'decoder_sell'. Did you mean decoder_cell?"):
        with_overrides(Composed(), {"decoder_sell": "gru"})


def test_classes_composed_wrongly_are_refused():
    @dataclasses.dataclass(frozen=True)
    class Twice:
        one: Cells = group(Cells, "model")
        merge: int = knob(0, "a name of the group's")

    @dataclasses.dataclass(frozen=True)
    class Earlier:
        one: Cells = group(Cells, "model")
        size: int = knob(0, "a name that the group had")

    @dataclasses.dataclass(frozen=True)
    class Wrong:
        one: Cells = group(Cells, "model", cell="rnn")

    with pytest.raises(TypeError, match=r"Twice has two knobs named merge"):
        fields_of(Twice)
    with pytest.raises(TypeError, match=r"Earlier has two knobs named size"):
        fields_of(Earlier)
    with pytest.raises(TypeError, match=r"default of Wrong.one.cell: allowed: lstm, gru"):
        fields_of(Wrong)
    with pytest.raises(TypeError, match=r"sell"):
        group(Cells, "model", sell="gru")


def test_hashes_depend_on_the_flat_values_and_nothing_else():
    """Checkpoints carry them: these were computed when configurations were flat and knobs had their first names."""
    assert config_hash(Config()) == "3af2297486a261e2"
    assert config_hash(Config(steps=5, widths=(1,))) == "bb774e41a7cffdf4"

    @dataclasses.dataclass(frozen=True)
    class Rest:
        updates: int = knob(100, "updates", minimum=1, former=("steps",))
        cell: str = knob("gru", "recurrent cell", choices=("lstm", "gru"))
        reverse: bool = knob(False, "read backwards")
        peephole: bool | None = knob(None, "decided by the cell if none")
        limit: int | None = knob(None, "tokens")
        scales: tuple[float, ...] = knob((), "scales")
        names: tuple[str, ...] = knob(("a",), "names")

    @dataclasses.dataclass(frozen=True)
    class Same:
        rest: Rest = group(Rest, "", cell="lstm")
        widths: tuple[int, ...] = knob((64, 32), "layer widths", minimum=1)
        own: Group = group(Group, "")

    assert config_hash(Same()) == config_hash(Config())
    assert config_hash(with_overrides(Same(), {"steps": 5, "widths": "1"})) == "bb774e41a7cffdf4"


def test_earlier_names_are_accepted():
    config, given = parse_composed("--size=5,6", "--decoder_size=7")
    assert config == Composed(Cells(sizes=(5, 6), both=True), Cells(sizes=(7,)))
    assert given == {"sizes": (5, 6), "decoder_sizes": (7,)}
    assert config_from_dict(Composed, {"size": [5, 6], "decoder_size": [7]}) == config
    with pytest.raises(UserError, match=r"--size is the former name of --sizes: give one of them"):
        parse_composed("--sizes=1", "--size=2")
    with pytest.raises(UserError, match=r"size is the former name of sizes: give one of them"):
        config_from_dict(Composed, {"sizes": [1], "size": [2]})
    with pytest.raises(flags.Error, match=r"flag --size=0: must be at least 1"):
        parse_composed("--size=0")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--momentum=0.9"],
            "this flag would do nothing: --momentum needs --optimizer=momentum. Leave it out, or give",
        ),
        (
            ["--optimizer=sgd", "--beta1=0.3", "--merge=sum", "--decoder_merge=sum"],
            "these flags would do nothing: --beta1 needs --optimizer=adam or adamw; --decoder_merge needs"
            " --decoder_both. Leave them out, or give what they need.",
        ),
        (["--num_best=2"], "--num_best needs --mode=predict."),
    ],
)
def test_given_flags_that_would_do_nothing_are_refused(arguments, message):
    """Also at their defaults, which a given --momentum=0.9 is."""
    config, given = parse_composed(*arguments)
    with pytest.raises(UserError) as caught:
        refuse_idle(sorted(given), Doing(), config)
    assert message in str(caught.value)


def test_flags_that_count_are_not_refused():
    config, given = parse_composed("--optimizer=momentum", "--momentum=0.5", "--merge=sum", "--num_best=2")
    refuse_idle(given, Doing("predict"), config)
    refuse_idle(given, config)  # nothing is known of the mode
    with pytest.raises(UserError, match="--dry_run needs --mode=train"):
        refuse_idle(["dry_run", *given], Doing("predict", dry_run=True), config)


def test_rows_of_a_sweep_may_leave_idle_knobs_at_their_defaults():
    refuse_idle_changes(with_overrides(Composed(), {"momentum": 0.9, "num_best": 1}))
    refuse_idle_changes(with_overrides(Composed(), {"momentum": 0.5, "optimizer": "momentum"}))
    for idle in ({"momentum": 0.5}, {"num_best": 2}):
        with pytest.raises(UserError, match=f"--{next(iter(idle))} needs"):
            refuse_idle_changes(with_overrides(Composed(), idle))


VALUES = {"kind": "a", "size": 2, "file": "", "on": True}


@pytest.mark.parametrize(
    ("condition", "holds", "words"),
    [
        (when(kind="a"), True, "--kind=a"),
        (when(kind=("b", "c")), False, "--kind=b or c"),
        (when(size=ABOVE_ZERO, on=True), True, "--size above 0 and --on"),
        (when(size=ABOVE_ONE), True, "--size above 1"),
        (when(size=3, on=False), False, "--size=3 and --noon"),
        (when(file=GIVEN), False, "--file"),
        (when(file=NOT_GIVEN), True, "no --file"),
        (any_of(when(file=GIVEN), when(kind="a", size=2)), True, "--file, or --kind=a and --size=2"),
        (any_of(when(file=GIVEN), when(size=3)), False, "--file, or --size=3"),
        (when(unknown=True), True, ""),
        (when(unknown=True, kind="b"), False, "--kind=b"),
        (any_of(when(size=3), when(unknown=True)), False, "--size=3"),
    ],
)
def test_conditions_hold_and_are_said(condition, holds, words):
    assert condition.holds(VALUES) == holds
    assert condition.text(VALUES) == words


def test_help_has_headings_defaults_and_conditions():
    text = " ".join(help_text("What it does.", (Doing, Composed), short=False).split())
    order = ["What it does.", "mode: --mode=train", "model: --cell=lstm", "optimiser: --optimizer=adam"]
    assert sorted(order, key=text.index) == order
    assert "--cell=lstm recurrent cell; one of: lstm, gru --sizes=128 hidden sizes" in text
    assert "--[no]both read in both directions; default: true" in text
    assert "--decoder_merge=concat how directions are merged (only with --decoder_both)" in text
    assert "(only with --optimizer=adam or adamw)" in text and "--size=" not in text
    assert all(f"--{name}=" in text or f"--[no]{name} " in text for name in (*fields_of(Doing), *fields_of(Composed)))


def test_the_short_help_has_the_flags_that_people_use():
    text = help_text("What it does.", (Composed,), short=True)
    assert re.findall(r"^  --(\w+)=", text, re.MULTILINE) == ["cell", "decoder_cell"]
    assert "12 more flags: --help" in text
