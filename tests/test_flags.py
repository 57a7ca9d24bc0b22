"""Every function that takes a mask or other flags: integers are booleans, other numbers are refused."""

import os
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rnn_jax import LSTM, masking
from rnn_jax.analysis.gradient_flow import gradient_norms
from rnn_jax.attention import ATTENTIONS, Memory, make_attention
from rnn_jax.layers import pooling
from rnn_jax.tagging import crf

B, T, F, L = 3, 4, 5, 3
# 0 is no, and every other integer yes. In the last row only one step is real.
INTEGERS = np.array([[1, 1, 2, 0], [0, -1, 1, 1], [0, 3, 0, 0]])
YS, SCORES = (jax.random.normal(jax.random.key(i), shape) for i, shape in enumerate([(B, T, F), (B, T)]))
EMISSIONS, LABELS = jax.random.normal(jax.random.key(2), (B, T, L)), jnp.ones((B, T), jnp.int32)
REAL, PARAMS = jnp.ones((B, T), bool), crf.CRFParams(jnp.eye(L), jnp.arange(1.0, L + 1), jnp.arange(L, 0.0, -1))


def of_attention(kind):
    attention = make_attention(kind, 8)
    params = attention.init(jax.random.key(3), F, F)
    return lambda flags: attention.read(params, YS, attention.remember(params, YS, flags))


def of_memory(kind):
    """A memory that a user has made by hand."""
    attention = make_attention(kind, 8)
    params = attention.init(jax.random.key(3), F, F)
    memory = attention.remember(params, YS, REAL)
    return lambda flags: attention.read(params, YS, Memory(memory.keys, memory.values, flags))


def legal(flags):
    return crf.Legal(flags[:, :L], flags[0, :L], flags[1, :L])


FUNCTIONS = {
    "reverse_resets": masking.reverse_resets,
    "last": lambda flags: pooling.last_pool(YS, flags),
    "first": lambda flags: pooling.last_pool(YS, flags, first=True),
    "mean": lambda flags: pooling.mean_pool(YS, flags),
    "max": lambda flags: pooling.max_pool(YS, flags),
    "mean_max": lambda flags: pooling.mean_max_pool(YS, flags),
    "attention_weights": lambda flags: pooling.attention_weights(SCORES, flags),
    "attention_pool": lambda flags: pooling.attention_pool(YS, SCORES, flags),
    "score": lambda flags: crf.sequence_score(PARAMS, EMISSIONS, LABELS, flags),
    "partition": lambda flags: crf.log_partition(PARAMS, EMISSIONS, flags),
    "allowed": lambda flags: crf.log_partition(PARAMS, EMISSIONS, REAL, jnp.stack([flags] * L, axis=-1)),
    "likelihood": lambda flags: crf.log_likelihood(PARAMS, EMISSIONS, LABELS, flags),
    "likelihood_of_observed": lambda flags: crf.log_likelihood(PARAMS, EMISSIONS, LABELS, flags, REAL),
    "observed": lambda flags: crf.log_likelihood(PARAMS, EMISSIONS, LABELS, REAL, flags),
    "marginals": lambda flags: crf.marginals(PARAMS, EMISSIONS, flags),
    "viterbi": lambda flags: crf.viterbi(PARAMS, EMISSIONS, flags),
    "nbest": lambda flags: crf.nbest(PARAMS, EMISSIONS, flags, 2),
    "legal": lambda flags: crf.constrain(PARAMS, legal(flags)),
    "gradient_norms": lambda flags: gradient_norms(LSTM(2), LSTM(2).init(jax.random.key(4), F), YS, mask=flags),
    **{kind: of_attention(kind) for kind in ATTENTIONS},
    **{f"memory_{kind}": of_memory(kind) for kind in ATTENTIONS},
}


@pytest.mark.parametrize("function", FUNCTIONS.values(), ids=FUNCTIONS)
def test_integers_are_booleans(function):
    function = jax.jit(function)
    expected, ones = function(jnp.asarray(INTEGERS != 0)), function(jnp.ones((B, T), bool))
    for dtype in (jnp.int32, jnp.int8):
        actual = function(jnp.asarray(INTEGERS, dtype))
        jax.tree.map(np.testing.assert_array_equal, actual, expected)
    different = jax.tree.map(lambda a, b: not np.array_equal(a, b), expected, ones)
    assert any(jax.tree.leaves(different)), "these flags change nothing, so nothing has been shown"


_REFUSED = """
import jax.numpy as jnp
import test_flags
for name, function in test_flags.FUNCTIONS.items():
    for wrong in (0.5, 1.0):
        try:
            function(jnp.full((test_flags.B, test_flags.T), wrong))
        except TypeError as error:
            assert "holds booleans, or integers that are 0 or not; got float32. Give" in str(error), (name, error)
        else:
            raise AssertionError(name)
for name in ("mean", "max", "last", "attention_weights", "partition", "observed", "viterbi", "dot", "multi_head"):
    try:
        test_flags.FUNCTIONS[name](jnp.ones((1, test_flags.T), bool))  # one row's for three: would be broadcast
    except ValueError as error:
        assert "has shape (3, 4); got (1, 4)" in str(error), (name, error)
    else:
        raise AssertionError(name)
print("all refused")
"""


def test_other_numbers_and_shapes_are_refused():
    """In a process without the tests' type checker, which would speak first."""
    here = Path(__file__).parent
    done = subprocess.run(
        [sys.executable, "-c", _REFUSED],
        env=os.environ | {"PYTHONPATH": f"{here}:{here.parent}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0 and done.stdout == "all refused\n", done.stderr
