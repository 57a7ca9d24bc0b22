"""Configurations: knobs (`knobs`) and their `values`, composed of groups, as flags (`flags`) and as JSON (`stored`)."""

from rnn_jax.config.conditions import ABOVE_ONE, ABOVE_ZERO, GIVEN, NOT_GIVEN, any_of, when
from rnn_jax.config.flags import config_from_flags, define_flags, given_flags, refuse_empty
from rnn_jax.config.idle import refuse_idle, refuse_idle_changes
from rnn_jax.config.knobs import (
    NETWORK,
    VOCABULARY,
    fields_of,
    flat_values,
    group,
    knob,
    knob_of,
    value_of,
)
from rnn_jax.config.stored import (
    Config,
    config_from_dict,
    config_hash,
    config_to_dict,
    differences,
    validate,
    with_overrides,
)
from rnn_jax.config.values import Field, check_value, did_you_mean, parse_text

__all__ = [
    "ABOVE_ONE",
    "ABOVE_ZERO",
    "GIVEN",
    "NETWORK",
    "NOT_GIVEN",
    "VOCABULARY",
    "Config",
    "Field",
    "any_of",
    "check_value",
    "config_from_dict",
    "config_from_flags",
    "config_hash",
    "config_to_dict",
    "define_flags",
    "did_you_mean",
    "differences",
    "fields_of",
    "flat_values",
    "given_flags",
    "group",
    "knob",
    "knob_of",
    "parse_text",
    "refuse_empty",
    "refuse_idle",
    "refuse_idle_changes",
    "validate",
    "value_of",
    "when",
    "with_overrides",
]
