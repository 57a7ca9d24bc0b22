"""Decoding where the end cannot be, where logits are NaN, and where numbers are traced."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles.jitting import counted_programs

from rnn_jax.decoding import beam_search, cut_unlikely, greedy, sample

V, START, END, PAD = 5, 0, 3, 9
# Compiled once for all tables, which are arguments, as penalties are.
jitted_search, jitted_greedy, jitted_sample = (
    jax.jit(decode, static_argnames=("start", "end", "pad", "limit")) for decode in (beam_search, greedy, sample)
)


def chain(table):
    """A step function that reads the logits after a token from a table, (V, V) or one for each row (B, V, V)."""
    return jax.tree_util.Partial(look_up, jnp.asarray(table, jnp.float32))


def look_up(table, carry, tokens):
    return carry, table[tokens] if table.ndim == 2 else jax.vmap(lambda own, last: own[last])(table, tokens)


def options(rows, length, limit=None):
    lengths = jnp.full(rows, length, jnp.int32)
    return {"start": START, "end": END, "pad": PAD, "max_lengths": lengths, "limit": limit or length}


def carry_of(rows, beams):
    return jnp.zeros((rows, beams, 1))


def by_hand(table, length):
    """Greedy in numpy, float64: tokens, length, log p."""
    tokens, last, total = [], START, 0.0
    for t in range(length + 1):
        row = table[last].astype(np.float64)
        with np.errstate(invalid="ignore"):
            log_p = row - row.max() - np.log(np.exp(row - row.max()).sum())
        log_p = np.where(row == -np.inf, -np.inf, log_p)
        last = END if t == length else int(np.argmax(row))
        total += log_p[last]
        if last == END:
            break
        tokens.append(last)
    return [*tokens, *[PAD] * (length - len(tokens))], len(tokens), total


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("impossible", ["end", "many", "all_after_2", "none"])
@pytest.mark.parametrize("penalty", [0.0, 1.0])
def test_a_beam_of_one_is_greedy_whatever_cannot_be(impossible, seed, penalty):
    """Both against numpy: the end of −∞ is forced at the limit, and costs −∞; dead ends go on with the first token."""
    rng = np.random.default_rng(seed)
    table = rng.normal(size=(V, V)).astype(np.float32)
    if impossible in ("end", "many"):
        table[:, END] = -np.inf
    if impossible == "many":
        table[rng.random((V, V)) < 0.6] = -np.inf
    if impossible == "all_after_2":
        table[:, 2] = 5
        table[2] = -np.inf
    found = [
        decode(chain(table), carry_of(1, 1), **options(1, 4), length_penalty=penalty)
        for decode in (jitted_greedy, jitted_search)
    ]
    tokens, length, log_p = by_hand(table, 4)
    for ours in found:
        assert ours.tokens[0, 0].tolist() == tokens and ours.lengths[0, 0] == length
        np.testing.assert_allclose(ours.log_probs[0, 0], log_p, rtol=1e-5)
        np.testing.assert_allclose(ours.scores[0, 0], log_p / ((6 + length) / 6) ** penalty, rtol=1e-5)


def test_all_of_a_beam_have_their_end_forced():
    """Without any possible end: the three likeliest texts of two tokens, each of log probability −∞."""
    first, later = [0.5, 0.3, 0.2, 0.0, 0.0], [0.1, 0.9, 0.0, 0.0, 0.0]
    with np.errstate(divide="ignore"):
        table = np.log(np.array([later, later, later, later, first]))
    found = beam_search(chain(table), carry_of(1, 3), **(options(1, 2) | {"start": 4}))
    assert found.tokens[0].tolist() == [[0, 1], [1, 1], [2, 1]]
    assert found.lengths[0].tolist() == [2, 2, 2]
    assert found.log_probs[0].tolist() == found.scores[0].tolist() == [-np.inf] * 3


def test_forbidden_tokens_fill_no_place_of_a_beam():
    """One token and the end can be: of a beam of 4 with at most 2 tokens, three sequences and an empty place."""
    with np.errstate(divide="ignore"):
        table = np.log(np.array([[0.6, 0, 0, 0.4, 0]] * V))
    found = beam_search(chain(table), carry_of(1, 4), **options(1, 2))
    assert found.tokens[0].tolist() == [[PAD, PAD], [0, PAD], [0, 0], [PAD, PAD]]
    np.testing.assert_allclose(np.exp(found.scores[0]), [0.4, 0.24, 0.144, 0], rtol=1e-5)
    assert found.lengths[0].tolist() == [0, 1, 2, 0]


def test_rounding_does_not_make_a_beam_of_one_choose_otherwise():
    """Token 2 is the best by 5e-7, which sums of float32 beyond 16 know nothing of."""
    table = np.zeros((V, V), np.float32)
    table[:, 2], table[:, END] = 5e-7, -1
    for decode in (greedy, beam_search):
        assert decode(chain(table), carry_of(1, 1), **options(1, 30)).tokens[0, 0].tolist() == [2] * 30


@pytest.mark.parametrize("where", [START, 1])
@pytest.mark.parametrize("decode", ["greedy", "beam", "sample"])
def test_nan_in_a_row_is_its_score_and_nobody_elses(decode, where):
    """At the first token or behind the second: no tokens, NaN twice; the other rows as they are without that one."""
    table = np.random.default_rng(0).normal(size=(3, V, V)).astype(np.float32)
    table[:, START, 1] = 9  # every row goes by token 1
    table[:, :, END] -= 2
    wrong = table.copy()
    wrong[1, where, 2] = np.nan
    keys = jax.random.split(jax.random.key(0), 3)
    run = {
        "greedy": lambda table: jitted_greedy(chain(table), carry_of(3, 1), **options(3, 6)),
        "beam": lambda table: jitted_search(chain(table), carry_of(3, 3), **options(3, 6)),
        "sample": lambda table: jitted_sample(chain(table), carry_of(3, 3), keys, **options(3, 6)),
    }[decode]
    clean, ours = run(table), run(wrong)
    assert np.isnan(ours.scores[1]).all() and np.isnan(ours.log_probs[1]).all()
    assert (ours.tokens[1] == PAD).all() and not ours.lengths[1].any()
    for row in (0, 2):
        jax.tree.map(lambda a, b, row=row: np.testing.assert_array_equal(a[row], b[row]), ours, clean)
    assert np.isfinite(ours.scores[jnp.array([0, 2])]).all()


def test_samples_that_never_meet_the_nan_keep_their_scores():
    """NaN behind token 2 only: draws without it are as before, those with it come last."""
    table = np.zeros((V, V), np.float32)
    wrong = table.copy()
    wrong[2] = np.nan
    keys = jax.random.split(jax.random.key(3), 1)
    clean, ours = (sample(chain(t), carry_of(1, 40), keys, **options(1, 3)) for t in (table, wrong))
    num_nan = int(np.isnan(ours.scores[0]).sum())
    assert 0 < num_nan < 40 and np.isnan(ours.scores[0, -num_nan:]).all()
    kept = {tuple(tokens) for tokens in ours.tokens[0, :-num_nan].tolist()}
    assert kept == {tuple(row) for row in clean.tokens[0].tolist() if 2 not in row}


# --- numbers that are traced ------------------------------------------------------------------------------------------


def compiled_once(function, values, expected):
    """The function of one number, jitted: compiled once for all values, equal to what each gives when known."""
    jitted = jax.jit(function)
    with counted_programs() as programs:
        found = [jitted(value) for value in values]
    assert programs[function.__name__] == 1, programs
    for value, ours in zip(values, found, strict=True):
        jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-5), ours, expected(value))


TABLE = np.random.default_rng(1).normal(size=(V, V)).astype(np.float32) - 2 * np.eye(V, dtype=np.float32)[END]


def test_length_penalty_may_be_traced():
    for decode, beams in ((greedy, 1), (beam_search, 4)):
        run = lambda penalty, decode=decode, beams=beams: decode(  # noqa: E731
            chain(TABLE), carry_of(1, beams), **options(1, 6), length_penalty=penalty
        )
        compiled_once(run, [0.0, 0.6, 2.0], run)


@pytest.mark.parametrize(("name", "values"), [("temperature", [0.3, 1.0, 4.0]), ("top_p", [1e-6, 0.4, 0.9, 1.0])])
def test_temperature_and_top_p_may_be_traced(name, values):
    keys = jax.random.split(jax.random.key(4), 1)

    def run(value):
        return sample(chain(TABLE), carry_of(1, 6), keys, **options(1, 6), **{name: value})

    compiled_once(run, values, run)


def test_a_traced_top_p_cuts_as_a_known_one():
    """1 cuts nothing, also where the probabilities before the last token add up to 1 by rounding."""
    logits = jnp.asarray(np.random.default_rng(2).normal(size=(3, 2000)) * 5, jnp.float32).at[0, 5].set(-jnp.inf)
    for dtype in (jnp.float32, jnp.bfloat16):
        rows = logits.astype(dtype)
        cut = jax.jit(lambda share, rows=rows: cut_unlikely(rows, top_p=share))
        for share in (0.2, 0.95):
            np.testing.assert_array_equal(cut(share), cut_unlikely(rows, top_p=share))
            probabilities = np.exp(np.asarray(rows, np.float64))
            ordered = np.sort(probabilities / probabilities.sum(1, keepdims=True), axis=1)[:, ::-1]
            needed = (np.cumsum(ordered, axis=1) < share).sum(axis=1) + 1
            np.testing.assert_array_equal((cut(share) > -jnp.inf).sum(axis=1), needed)
        np.testing.assert_array_equal(cut(1.0), rows)
        assert ((cut(0.0) > -jnp.inf).sum(axis=1) == 1).all()


def test_a_traced_temperature_of_0_is_greedy():
    keys = jax.random.split(jax.random.key(5), 1)
    draw = jax.jit(lambda t: sample(chain(TABLE), carry_of(1, 1), keys, **options(1, 6), temperature=t))
    best = greedy(chain(TABLE), carry_of(1, 1), **options(1, 6))
    for temperature in (0.0, 1e-30, 1e-4):
        assert draw(temperature).tokens.tolist() == best.tokens.tolist()


@pytest.mark.parametrize("wrong", [float("nan"), -1.0, float("inf")])
def test_senseless_numbers_are_refused(wrong):
    keys = jax.random.split(jax.random.key(0), 1)
    for decode in (greedy, beam_search):
        with pytest.raises(ValueError, match="length_penalty=.* must not be negative, and finite"):
            decode(chain(TABLE), carry_of(1, 1), **options(1, 3), length_penalty=wrong)
    with pytest.raises(ValueError, match="temperature is positive and finite.*; got"):
        sample(chain(TABLE), carry_of(1, 1), keys, **options(1, 3), temperature=wrong)
    for cut in ({"top_p": wrong}, {"top_k": -1}):
        with pytest.raises(ValueError, match=f"^{next(iter(cut))} is .*; got {next(iter(cut.values()))}"):
            cut_unlikely(jnp.zeros(4), **cut)
