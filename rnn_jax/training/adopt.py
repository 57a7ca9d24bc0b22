"""Starting from another run's parameters."""

from typing import Any

import jax

from rnn_jax.config import VOCABULARY, Field, fields_of, value_of
from rnn_jax.errors import UserError

PyTree = Any


def adopt_params(
    fresh: PyTree, trained: PyTree, *, replaceable: tuple[str, ...], keep_fresh: bool = False
) -> tuple[PyTree, list[str]]:
    """The trained parameters where they fit, and the names of those kept fresh.

    Only arrays below `replaceable` (output layers: another task may have other classes) may differ in shape;
    with `keep_fresh` they are fresh in any case, as for a task whose classes are others of the same number.

    Raises:
      UserError: an array that must be there is missing or has another shape, or one is left over.
    """
    old = {array_name(path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(trained)}
    kept_fresh: list[str] = []
    unfit: list[str] = []

    def choose(path, leaf):
        name = array_name(path)
        is_replaceable = name.split(".")[0] in replaceable
        if name in old and old[name].shape == leaf.shape and not (keep_fresh and is_replaceable):
            return old[name]
        (kept_fresh if is_replaceable else unfit).append(name)
        return leaf

    adopted = jax.tree_util.tree_map_with_path(choose, fresh)
    names = {array_name(path) for path, _ in jax.tree_util.tree_leaves_with_path(fresh)}
    unfit += [name for name in old if name not in names and name.split(".")[0] not in replaceable]
    if unfit:
        have = ", ".join(f"{name} {tuple(old[name].shape) if name in old else 'missing'}" for name in unfit[:5])
        raise UserError(
            f"--init_from: that run's parameters do not fit this model ({have}). Leave --cell, --hidden_size,"
            " --num_layers, --embedding_size, --attention and so on out, to have them as in that run."
        )
    return adopted, kept_fresh


def require_same_vocabulary(config: Any, donor_config: Any) -> None:
    """Checks that the knobs which shaped the other run's vocabulary are those of this one.

    Raises:
      UserError: some differ (names them, with the values to give).
    """
    changed = [name for name in _vocabulary_knobs(config) if value_of(config, name) != value_of(donor_config, name)]
    if changed:
        wanted = " ".join(f"--{name}={_as_flag(value_of(donor_config, name))}" for name in changed)
        place = config.run.init_from
        raise UserError(f"--init_from keeps the vocabulary of {place}: give {wanted} as that run had it, or nothing.")


def require_default_vocabulary(config: Any, experiment: str) -> None:
    """Checks that no knob asks for a vocabulary, where the other run's, of another experiment, comes along.

    Raises:
      UserError: some do (names them).
    """
    fields = _vocabulary_knobs(config)
    if given := [f"--{name}" for name, field in fields.items() if value_of(config, name) != field.default]:
        place = config.run.init_from
        raise UserError(
            f"--init_from brings along the vocabulary of {place}, a run of {experiment}: leave out {', '.join(given)}."
        )


def _vocabulary_knobs(config: Any) -> dict[str, Field]:
    return {name: field for name, field in fields_of(type(config)).items() if field.inherited == VOCABULARY}


def _as_flag(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


def array_name(path: tuple) -> str:
    """The name of an array as people see it, as in "encoder.weights.0.w_x"."""
    return jax.tree_util.keystr(path, simple=True, separator=".").replace(".value", "")
