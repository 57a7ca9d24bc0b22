"""What a script does: train, show what it would train, score, or answer."""

from collections.abc import Callable, Mapping
from typing import Any

from rnn_jax.training.answers import json_line
from rnn_jax.training.app import Invocation
from rnn_jax.training.loop import Train, train_in
from rnn_jax.training.seeds import train_seeds
from rnn_jax.training.window import prefixed


def run_mode(
    config: Any,
    invocation: Invocation,
    experiment: str,
    *,
    train: Train,
    show_plan: Callable[[Any], None],
    evaluate: Callable[[Any, Invocation], tuple[str, Mapping[str, Any]]],
    predict: Callable[[Any, Invocation], None],
) -> None:
    """Does what --mode and --dry_run say.

    train(config, run) gives the result. evaluate(config, invocation) gives a part's name and its metrics, which are
    printed as a JSON line.
    """
    if invocation.mode == "predict":
        predict(config, invocation)
    elif invocation.mode == "eval":
        print(json_line(prefixed(*evaluate(config, invocation))), end="")
    elif invocation.dry_run:
        show_plan(config)
    elif invocation.num_seeds > 1:
        count, how = invocation.num_seeds, invocation.seeds_mode
        train_seeds(invocation.workdir, experiment, config, train, num_seeds=count, mode=how)
    else:
        train_in(invocation.workdir, experiment, config, train)
