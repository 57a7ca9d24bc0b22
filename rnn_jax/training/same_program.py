"""Which runs can share a compiled program."""

from typing import Any

from rnn_jax.config import fields_of, value_of, with_overrides


def shared(config: Any) -> Any:
    """What runs of one program have in common: equal for two configurations exactly if they can share it.

    Knobs that lie in the train state (`in_state`) are 1 where they are not 0; the seed and knobs that may differ within
    a run have their defaults.
    """
    fields = fields_of(type(config))
    common: dict[str, Any] = {n: float(value_of(config, n) != 0) for n, field in fields.items() if field.in_state}
    common |= {n: field.default for n, field in fields.items() if not field.identity or n == "seed"}
    return with_overrides(config, common)
