"""Cuts of distributions and repetition penalties against NumPy and numbers computed by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rnn_jax.decoding import cut_unlikely, repeated


def kept_by_hand(logits, top_k=0, top_p=1.0, typical_p=1.0):
    """Ids that are kept of one row, by sets and sums in float64."""
    logits = np.asarray(logits, np.float64)
    kept = [i for i in np.argsort(-logits, kind="stable") if logits[i] > -np.inf][: top_k or None]

    def share_of(ids, share):
        chosen = []
        for i in ids:
            if sum(probabilities[j] for j in chosen) < share:
                chosen.append(i)
        return chosen

    def renormalised():
        total = np.exp(logits[kept]).sum()
        return {i: np.exp(logits[i]) / total for i in kept}

    if top_p < 1:
        probabilities = renormalised()
        kept = share_of(kept, top_p)
    if typical_p < 1:
        probabilities = renormalised()
        entropy = -sum(p * np.log(p) for p in probabilities.values())
        kept = share_of(sorted(kept, key=lambda i: abs(-np.log(probabilities[i]) - entropy)), typical_p)
    return sorted(int(i) for i in kept)


LOGITS = np.random.default_rng(0).normal(size=(6, 40)).astype(np.float32) * 3
LOGITS[0, :5] = -np.inf


@pytest.mark.parametrize("typical_p", [0.05, 0.4, 0.9])
@pytest.mark.parametrize("others", [{}, {"top_k": 7}, {"top_p": 0.8}, {"top_k": 12, "top_p": 0.6}])
def test_cuts_against_numpy(others, typical_p):
    cuts = {**others, "typical_p": typical_p}
    for traced in (False, True):
        cut = jax.jit(lambda p: cut_unlikely(jnp.asarray(LOGITS), **others, typical_p=p)) if traced else None
        ours = np.asarray(cut(typical_p) if cut else cut_unlikely(jnp.asarray(LOGITS), **cuts))
        for row, logits in zip(ours, LOGITS, strict=True):
            kept = kept_by_hand(logits, **cuts)
            assert np.flatnonzero(row > -np.inf).tolist() == kept
            np.testing.assert_array_equal(row[kept], logits[kept])


def test_typical_by_hand():
    """Surprisals of 1, 2, 3 and 3 bits, entropy 1.75: the likeliest but one is nearest, then the likeliest."""
    logits = jnp.log(jnp.array([[0.125, 0.5, 0.25, 0.125]], jnp.float32))
    kept = lambda **cut: np.flatnonzero(cut_unlikely(logits, **cut)[0] > -jnp.inf).tolist()  # noqa: E731
    assert kept(typical_p=0.2) == [2]
    assert kept(typical_p=0.3) == kept(typical_p=0.7) == [1, 2]
    assert kept(typical_p=0.8) == [0, 1, 2]  # of equally near ones the first
    assert kept(typical_p=0.9) == kept(typical_p=1.0) == [0, 1, 2, 3]
    # Of two that are left with 2/3 and 1/3, 0.58 and 1.58 bits at an entropy of 0.92, the likelier one is nearer.
    assert kept(top_k=2, typical_p=0.2) == kept(top_p=0.7, typical_p=0.2) == [1]


def test_typical_at_the_edges():
    """Equal tokens are as typical as each other; what cannot be stays so; a traced 0 keeps one, a traced 1 all."""
    cut = jax.jit(lambda logits, p: cut_unlikely(logits, typical_p=p))
    assert (cut(jnp.zeros((1, 4)), 0.6) > -jnp.inf).tolist() == [[True, True, True, False]]
    nothing = jnp.full((1, 4), -jnp.inf)
    np.testing.assert_array_equal(cut(nothing, 0.5), nothing)
    np.testing.assert_array_equal(cut(jnp.asarray(LOGITS), 1.0), LOGITS)
    assert ((cut(jnp.asarray(LOGITS), 0.0) > -jnp.inf).sum(axis=-1) == 1).all()
    half = jnp.asarray(LOGITS, jnp.bfloat16)
    rows = cut_unlikely(half, typical_p=0.5)
    assert rows.dtype == jnp.bfloat16
    for row, logits in zip(rows, half, strict=True):
        assert np.flatnonzero(row > -jnp.inf).tolist() == kept_by_hand(logits, typical_p=0.5)


@pytest.mark.parametrize("penalty", [0.5, 1.0, 1.3])
def test_repetition_penalty_against_numpy(penalty):
    logits = np.array([[2.0, -1.0, 0.0, -np.inf, 3.0], [-2.0, 4.0, 1.0, 1.0, -3.0]], np.float32)
    seen = np.array([[1, 1, 1, 1, 0], [0, 1, 0, 1, 1]], bool)
    expected = logits.copy()
    for index in zip(*np.nonzero(seen), strict=True):
        expected[index] = logits[index] / penalty if logits[index] > 0 else logits[index] * penalty
    for penalise in (repeated, jax.jit(repeated)):
        np.testing.assert_allclose(penalise(jnp.asarray(logits), jnp.asarray(seen), penalty), expected, rtol=1e-6)
    ours = repeated(jnp.asarray(logits, jnp.bfloat16), jnp.asarray(seen), penalty)
    assert ours.dtype == jnp.bfloat16
    np.testing.assert_allclose(ours.astype(jnp.float32), expected, rtol=2**-8)


def test_repetition_penalty_by_hand():
    """2 / 2, −1 · 2, and 5, which was not seen; what cannot be cannot be after any traced number."""
    ours = jax.jit(repeated)(jnp.array([2.0, -1.0, 5.0, -jnp.inf]), jnp.array([True, True, False, True]), 2.0)
    assert ours.tolist() == [1.0, -2.0, 5.0, -np.inf]
    assert jax.jit(repeated)(jnp.array([-jnp.inf]), jnp.array([True]), 0.0).tolist() == [-np.inf]


@pytest.mark.parametrize("wrong", [0.0, -0.5, 1.5, float("nan")])
def test_senseless_numbers_are_refused(wrong):
    with pytest.raises(ValueError, match=r"^typical_p is a probability, in \(0, 1\]; got"):
        cut_unlikely(jnp.zeros(4), typical_p=wrong)
    if wrong != 1.5:
        with pytest.raises(ValueError, match="^A repetition penalty is positive and finite"):
            repeated(jnp.zeros(4), jnp.zeros(4, bool), wrong)
