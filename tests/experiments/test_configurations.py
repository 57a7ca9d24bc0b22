"""The configurations of all experiments: runs of before still load, and conditions name what there is."""

import dataclasses
import hashlib
import importlib
import json

import pytest
from absl import flags

from rnn_jax.config import config_from_dict, config_to_dict, define_flags, fields_of, given_flags, refuse_idle
from rnn_jax.config.flags import config_from_flags
from rnn_jax.errors import UserError
from rnn_jax.training.run_config import Invocation

EXPERIMENTS = (
    "sentiment",
    "tagging",
    "seq2seq",
    "language_model",
    "forecasting",
    "signals",
    "anomaly",
    "gradient_flow",
    "benchmark",
)
LATER = {"nonmonotone_interval", "layer_rate_decay", "unfreeze_every"}  # knobs that all experiments got afterwards


def config_class(experiment):
    return importlib.import_module(f"experiments.{experiment}").Config


@pytest.mark.parametrize(
    ("experiment", "digest", "newer"),
    [
        ("sentiment", "814aa1c6fc34dcee", {"select_by", *LATER}),
        ("tagging", "fd7ab07058c8dd59", {"select_by", *LATER}),
        ("seq2seq", "790b104d24d2fd83", LATER),
    ],
)
def test_knobs_keep_their_names_defaults_and_identity(experiment, digest, newer):
    """The digests are of the default configurations before they were composed; runs of then can be continued."""
    values = config_to_dict(config_class(experiment)())
    fields = {name: field for name, field in fields_of(config_class(experiment)).items() if name not in newer}
    identity = {[*field.former, name][0]: values[name] for name, field in fields.items() if field.identity}
    assert hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16] == digest


@pytest.mark.parametrize("experiment", ["sentiment", "tagging", "seq2seq"])
def test_runs_with_earlier_names_load(experiment):
    config = config_from_dict(config_class(experiment), {"save": "borders", "average": "last"})
    assert config_to_dict(config)["saved_activations"] == "borders"
    assert config_to_dict(config)["average_checkpoints_from"] == "last"


def test_conditions_name_knobs_that_exist():
    """Of that experiment or of another, with which it shares the group."""
    every = [fields_of(config_class(experiment)) for experiment in EXPERIMENTS]
    known = {*fields_of(Invocation)}.union(*every)
    for own in (fields_of(Invocation), *every):
        parts = ((f, part) for f in own.values() if f.only_if for case in f.only_if.alternatives for part in case)
        for field, (name, allowed) in parts:
            assert name in known, f"--{field.name} depends on --{name}, which is nowhere"
            choices = next(fields[name].choices for fields in (own, *every, fields_of(Invocation)) if name in fields)
            if choices is not None:
                assert set(allowed if isinstance(allowed, tuple) else (allowed,)) <= set(choices), field.name


IDLE = [
    "--ngram_fusion=output",
    "--momentum=0.5",
    "--merge=sum",
    "--convolution_size=7",
    "--beta1=0.3",
    "--optimizer=sgd",
    "--part=nonsense",
    "--input=/nope",
]


def given(experiment, *arguments):
    values = flags.FlagValues()
    for defined in (config_class(experiment), Invocation):
        define_flags(defined, values)
    values(["program", *arguments])
    configs = [config_from_flags(defined, values) for defined in (config_class(experiment), Invocation)]
    return [name for config in configs for name in given_flags(type(config), values)], configs


def test_every_flag_that_would_do_nothing_is_named():
    names, configs = given("sentiment", *IDLE)
    with pytest.raises(UserError) as caught:
        refuse_idle(names, *configs)
    for flag in IDLE:
        name = flag[2:].partition("=")[0]
        assert (f"--{name} needs" in str(caught.value)) == (name != "optimizer")


@pytest.mark.parametrize(
    ("arguments", "counts"),
    [
        (["--residual", "--num_layers=2"], True),
        (["--residual", "--layer_dropout=0.1", "--decoder_num_layers=2"], True),  # the decoder's layers alone
        (["--residual"], False),
        (["--decoder_num_layers=2", "--attention_heads=2"], False),
    ],
)
def test_what_either_stack_uses_counts(arguments, counts):
    names, configs = given("seq2seq", *arguments)
    if counts:
        refuse_idle(names, *configs)
    else:
        with pytest.raises(UserError, match="would do nothing"):
            refuse_idle(names, *configs)


@pytest.mark.parametrize("experiment", ["sentiment", "tagging", "seq2seq", "language_model"])
def test_configurations_can_be_compared_and_replaced(experiment):
    """They are keys of compiled programs: hashable, and equal where their values are."""
    one, other = config_class(experiment)(), config_class(experiment)()
    assert one == other and hash(one) == hash(other)
    changed = dataclasses.replace(one, run=dataclasses.replace(one.run, seed=1))
    assert changed != one
