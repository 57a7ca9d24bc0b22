"""Texts and labels from TFDS, users' files and the embedded datasets, as batches with static shapes."""

from importlib.util import find_spec

if find_spec("tensorflow_datasets") is None:
    raise ImportError(
        "rnn_jax.data needs TFDS and more: pip install 'rnn-jax-research[experiments]'"
        " (from a checkout: pip install '.[experiments]')."
    )
