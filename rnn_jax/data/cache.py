"""Where files are kept that can be made again at any time."""

import os
from pathlib import Path


def cache_dir() -> Path:
    """$RNN_JAX_CACHE, else $XDG_CACHE_HOME/rnn_jax, else ~/.cache/rnn_jax."""
    if given := os.environ.get("RNN_JAX_CACHE"):
        return Path(given).expanduser().absolute()
    if given := os.environ.get("XDG_CACHE_HOME"):
        return Path(given).expanduser().absolute() / "rnn_jax"
    return Path("~/.cache").expanduser().absolute() / "rnn_jax"
