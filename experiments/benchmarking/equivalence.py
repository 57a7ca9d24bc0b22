"""The same mathematics, or no timing: outputs and all gradients beside a reference in float64.

The reference is the textbook's scan in double precision, so that a row's error is the peer's own rounding, and not the
sum of two roundings.
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.benchmarking.jax_program import LEARNING_RATE
from experiments.benchmarking.peers import naive
from experiments.benchmarking.problems import Problem


class NotEquivalent(Exception):
    """A program computes something else; the message names the array and the error."""


class Answer(NamedTuple):
    """What a problem's programs must return: ys, ∂loss/∂params in our layout, ∂loss/∂xs."""

    ys: np.ndarray
    params: Any
    xs: np.ndarray


def reference(problem: Problem, without: tuple[str, ...] = ()) -> Answer:
    """The answer in float64, with the weights named in `without` at zero."""
    zeroed = jax.tree_util.tree_map_with_path(
        lambda path, leaf: np.zeros_like(leaf) if _name(path) in without else leaf, problem.params
    )
    with jax.enable_x64(True):
        params, xs, cotangent = jax.tree.map(
            lambda leaf: jnp.asarray(leaf, jnp.float64), (zeroed, problem.xs, problem.cotangent)
        )
        lengths = None if problem.lengths is None else jnp.asarray(problem.lengths)

        def loss(params, xs):
            ys = naive.apply(problem.cell, params, xs, lengths)
            return jnp.sum(ys * cotangent), ys

        (params_bar, xs_bar), ys = jax.jit(jax.grad(loss, argnums=(0, 1), has_aux=True))(params, xs)
        return Answer(np.asarray(ys), jax.tree.map(np.asarray, params_bar), np.asarray(xs_bar))


class Checker:
    """Checks programs of one problem; the references are computed once."""

    def __init__(self, problem: Problem):
        self._reference = functools.cache(functools.partial(reference, problem))

    def check(self, program: Any) -> float:
        """The largest relative error of outputs and gradients; NotEquivalent where it exceeds program.tolerance."""
        expected = self._reference(program.without)
        params_bar, xs_bar = program.gradients()
        actual = Answer(program.outputs(), params_bar, xs_bar)
        errors = {
            name: relative_error(array, theirs)
            for (name, array), (_, theirs) in zip(_named(actual), _named(expected), strict=True)
            if name.split(".")[-1] not in program.without
        }
        worst = max(errors, key=errors.__getitem__)
        if not errors[worst] <= program.tolerance:  # NaN included
            raise NotEquivalent(
                f"{program.name}: {worst} differs by {errors[worst]:.1e} of its largest entry "
                f"(allowed: {program.tolerance:.0e})"
            )
        return errors[worst]

    def check_training(self, program: Any) -> None:
        """NotEquivalent where the first Adam step is not −learning_rate · sign(gradient), in the clear entries."""
        expected, (before, after) = self._reference(program.without).params, program.trained()
        for (name, old), (_, new), (_, bar) in zip(_named(before), _named(after), _named(expected), strict=True):
            clear = np.abs(bar) > program.tolerance * np.abs(bar).max(initial=0) * 10
            wrong = np.abs((new - old) + LEARNING_RATE * np.sign(bar))[clear]
            if name.split(".")[-1] not in program.without and wrong.max(initial=0) > 0.01 * LEARNING_RATE:
                raise NotEquivalent(f"{program.name}: a step of Adam moves {name} by something else")


def relative_error(actual: np.ndarray, expected: np.ndarray) -> float:
    """max |a − b| / max |b|; infinite where shapes differ, or where b is zero and a is not."""
    if actual.shape != expected.shape:
        return float("inf")
    difference, scale = np.abs(actual - expected).max(initial=0), np.abs(expected).max(initial=0)
    if difference == 0:
        return 0.0
    return float(difference / scale) if scale else float("inf")


def _name(path: Any) -> str:
    return getattr(path[-1], "name", "")


def _named(tree: Any) -> list[tuple[str, np.ndarray]]:
    """Leaves with names such as .params[0].w_x."""
    return [(jax.tree_util.keystr(path), leaf) for path, leaf in jax.tree_util.tree_leaves_with_path(tree)]
