"""What every experiment's training shares: optimizer, steps, checkpoints, run directory, progress."""

from importlib.util import find_spec

if find_spec("optax") is None or find_spec("orbax") is None:
    raise ImportError(
        "rnn_jax.training needs Optax, Orbax and more: pip install 'rnn-jax-research[experiments]'"
        " (from a checkout: pip install '.[experiments]')."
    )
