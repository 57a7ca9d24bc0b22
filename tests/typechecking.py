"""The type checker that conftest.py puts around every function of rnn_jax whose signature has shapes."""

from collections.abc import Callable
from typing import Any

import jaxtyping
from beartype import BeartypeConf, beartype

check = beartype(conf=BeartypeConf(is_pep484_tower=True))  # an int is welcome where a float is, as for mypy


def of_shapes(jaxtyped: Callable) -> Callable:
    """`jaxtyped` that leaves functions without shapes alone: mypy knows what they are given, and every call costs."""

    def with_options(**options: Any) -> Callable:
        decorate = jaxtyped(**options)
        return lambda made: decorate(made) if isinstance(made, type) or has_shapes(made) else made

    return with_options


def has_shapes(function: Callable) -> bool:
    """Whether an argument or the result of it is written as an array of some shape."""
    return any("jaxtyping." in str(annotation) for annotation in function.__annotations__.values())


def install(modules: list[str]) -> None:
    """Before they are imported."""
    jaxtyping.jaxtyped = of_shapes(jaxtyping.jaxtyped)
    jaxtyping.install_import_hook(modules, "typechecking.check")
