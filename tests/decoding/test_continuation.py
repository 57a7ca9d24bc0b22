"""Writing on in chunks against a plain loop that draws with the same keys, and what a chunk promises to the next."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles.jitting import counted_programs

from rnn_jax.decoding import begin, cut_unlikely, greedy, write

V, END, PAD, HIDDEN, ROWS = 7, 3, -1, 6, 3
# Compiled once for each shape: machines, temperatures, probabilities and penalties are arguments.
STATIC = ("num_tokens", "end", "pad", "top_k", "forbidden")
jitted = jax.jit(write, static_argnames=STATIC)
KEYS = jax.random.split(jax.random.key(0), ROWS)
PROMPT = jnp.array([0, 4, 5], jnp.int32)


def machine_step(w_h, w_x, w_o, carry, tokens):
    carry = {"h": jnp.tanh(carry["h"] @ w_h + w_x[tokens])}
    return carry, carry["h"] @ w_o


def machine(seed):
    """A step function with a memory, and a carry of each row."""
    rng = np.random.default_rng(seed)
    *weights, first = (
        jnp.asarray(1.5 * rng.normal(size=shape), jnp.float32)
        for shape in [(HIDDEN, HIDDEN), (V, HIDDEN), (HIDDEN, V), (ROWS, HIDDEN)]
    )
    return jax.tree_util.Partial(machine_step, *weights), {"h": first}


def look_up(table, carry, tokens):
    return carry, table[tokens] if table.ndim == 2 else jax.vmap(lambda own, last: own[last])(table, tokens)


def chain(table):
    """A step function of logits (V, V) after each token, or (B, V, V) of a table for each row."""
    return jax.tree_util.Partial(look_up, jnp.asarray(table, jnp.float32))


def start(carry, rows=slice(None), **more):
    carry = jax.tree.map(lambda leaf: leaf[rows], carry)
    return begin(carry, PROMPT[rows], KEYS[rows], vocabulary_size=V, **more)


def by_hand(step, carry, row, num_tokens, *, temperature=1.0, penalty=1.0, end=END, forbidden=(), **cuts):
    """Tokens and log p of one row: everything but the step, the draw and the cut in plain Python and NumPy."""
    carry, last, total, tokens = jax.tree.map(lambda leaf: leaf[row : row + 1], carry), int(PROMPT[row]), 0.0, []
    seen = {last}
    for t in range(num_tokens):
        carry, logits = step(carry, jnp.array([last], jnp.int32))
        logits = np.asarray(logits[0], np.float64)
        log_p = logits - logits.max() - np.log(np.exp(logits - logits.max()).sum())
        for token in seen:
            logits[token] = logits[token] / penalty if logits[token] > 0 else logits[token] * penalty
        logits[list(forbidden)] = -np.inf
        if temperature == 0:
            last = int(np.argmax(logits))
        else:
            scaled = cut_unlikely(jnp.asarray(logits / temperature, jnp.float32), **cuts)
            last = int(jax.random.categorical(jax.random.fold_in(KEYS[row], t), scaled))
        total += log_p[last]
        tokens.append(last)
        seen.add(last)
        if last == end:
            break
    return tokens + [PAD] * (num_tokens - len(tokens)), total, seen


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"end": None},
        {"temperature": 0.0},
        {"temperature": 0.5, "forbidden": (1, END)},
        {"temperature": 1.8, "top_k": 4, "top_p": 0.9},
        {"typical_p": 0.6, "penalty": 1.5},
        {"temperature": 2.0, "top_p": 0.95, "typical_p": 0.8, "penalty": 0.7, "end": None},
    ],
)
def test_writing_is_a_plain_loop(settings):
    """Whether its numbers are known or traced."""
    step, carry = machine(1)
    ours = {"end": END, "pad": PAD, **settings}
    ours["repetition_penalty"] = ours.pop("penalty", 1.0)
    for write_on in (jitted, write):
        writing, tokens = write_on(step, start(carry), num_tokens=12, **ours)
        assert writing.t == 12
        for row in range(ROWS):
            expected, log_p, seen = by_hand(step, carry, row, 12, **settings)
            assert tokens[row].tolist() == expected
            np.testing.assert_allclose(writing.log_probs[row], log_p, rtol=1e-4)
            assert bool(writing.ended[row]) == (ours["end"] in expected)
            assert set(np.flatnonzero(writing.seen[row]).tolist()) == seen


def test_greedy_is_that_of_searches():
    """Temperature 0, known and traced, and small ones, against `decoding.greedy`, which keeps no end token."""
    for seed in range(4):
        step, carry = machine(seed)
        expanded = jax.tree.map(lambda leaf: leaf[:1, None], carry)

        def step_of_hypotheses(carry, tokens, step=step):
            after, logits = step(jax.tree.map(lambda leaf: leaf[:, 0], carry), tokens[:, 0])
            return jax.tree.map(lambda leaf: leaf[:, None], after), logits[:, None]

        rules = {"start": int(PROMPT[0]), "end": END, "pad": PAD, "limit": 9}
        best = greedy(step_of_hypotheses, expanded, **rules, max_lengths=jnp.array([9]))
        length = int(best.lengths[0, 0])
        for write_on, temperature in ((write, 0), (write, 1e-20), (jitted, 0.0), (jitted, 1e-4), (jitted, 1e-40)):
            _, tokens = write_on(step, start(carry), num_tokens=9, end=END, pad=PAD, temperature=temperature)
            assert tokens[0, :length].tolist() == best.tokens[0, 0, :length].tolist()
            assert length == 9 or tokens[0, length:].tolist() == [END] + [PAD] * (8 - length)
        if length < 9:
            writing, _ = jitted(step, start(carry), num_tokens=9, end=END, temperature=0.0)
            np.testing.assert_allclose(writing.log_probs[0], best.log_probs[0, 0], rtol=1e-4)


def test_of_equally_good_tokens_greedy_takes_the_first():
    table = np.zeros((V, V))
    table[:, [2, 5]] = 1.0
    for write_on, temperature in ((write, 0), (jitted, 0.0)):
        writing = begin((), jnp.zeros(50, jnp.int32), jax.random.key(3), vocabulary_size=V)
        _, tokens = write_on(chain(table), writing, num_tokens=2, end=None, temperature=temperature)
        assert (tokens == 2).all()


@pytest.mark.parametrize("end", [END, None])
def test_chunks_do_not_change_the_text(end):
    step, carry = machine(2)
    settings = {"end": end, "pad": PAD, "temperature": 1.5, "repetition_penalty": 1.2}
    texts = []
    for size, count in ((32, 1), (1, 32), (7, 5), (16, 2)):
        writing, chunks = start(carry), []
        for _ in range(count):
            writing, tokens = jitted(step, writing, num_tokens=size, **settings)
            chunks.append(np.asarray(tokens))
        texts.append(np.concatenate(chunks, axis=1)[:, :32])
    for text in texts[1:]:
        np.testing.assert_array_equal(text, texts[0])
    assert len(np.unique(texts[0])) > 3


def test_rows_are_written_as_if_alone():
    step, carry = machine(4)
    settings = {"num_tokens": 10, "end": END, "typical_p": 0.9, "repetition_penalty": 1.3}
    together, tokens = jitted(step, start(carry), **settings)
    for row in range(ROWS):
        alone, text = jitted(step, start(carry, slice(row, row + 1)), **settings)
        np.testing.assert_array_equal(text[0], tokens[row])
        np.testing.assert_allclose(alone.log_probs[0], together.log_probs[row], rtol=1e-5)


def test_an_end_by_hand():
    """0 → 1 → 2 → end with 0.6, 0.8 and 0.9; what is written after it is padding, and costs nothing."""
    table = np.full((V, V), 1e-9)
    table[0, [1, 4]], table[1, [2, 4]], table[2, [END, 4]] = (0.6, 0.4), (0.8, 0.2), (0.9, 0.1)
    table[4, 4] = table[END, 5] = 1.0
    step = chain(np.log(table))
    writing = begin((), jnp.array([0, 4]), KEYS[:2], vocabulary_size=V)
    writing, tokens = jitted(step, writing, num_tokens=4, end=END, pad=PAD, temperature=0.0)
    assert tokens.tolist() == [[1, 2, END, PAD], [4, 4, 4, 4]]
    assert writing.ended.tolist() == [True, False] and writing.last.tolist() == [END, 4]
    assert np.flatnonzero(writing.seen[0]).tolist() == [0, 1, 2, END]
    np.testing.assert_allclose(jnp.exp(writing.log_probs), [0.6 * 0.8 * 0.9, 1.0], rtol=1e-5)
    stopped = writing._replace(ended=jnp.array([False, True]))  # by the caller, the other way round
    later, tokens = jitted(step, stopped, num_tokens=2, end=END, pad=PAD, temperature=0.0)
    assert tokens.tolist() == [[5, 0], [PAD, PAD]] and later.t == 6


def test_forbidden_tokens_are_never_drawn():
    """2 and the end, almost sure otherwise: 400 rows of 8 tokens are of the other five, with the model's log p."""
    table = np.zeros((V, V), np.float32)
    table[:, [2, END]] = 20.0
    writing = begin((), jnp.zeros(400, jnp.int32), jax.random.key(1), vocabulary_size=V)
    writing, tokens = jitted(chain(table), writing, num_tokens=8, end=END, forbidden=(2, END))
    assert set(np.unique(tokens).tolist()) == {0, 1, 4, 5, 6} and not writing.ended.any()
    np.testing.assert_allclose(writing.log_probs, -8 * np.log(2 * np.exp(20.0) + 5), rtol=1e-5)


def test_a_row_without_a_possible_token_ends():
    """After 1, only 2 has probability, and that is forbidden: nothing is written there, at a log probability of −∞."""
    table = np.full((V, V), -np.inf)
    table[0, 1] = table[1, 2] = table[4, 4] = 0.0
    for temperature in (0.0, 1.0):
        writing = begin((), jnp.array([0, 4]), KEYS[:2], vocabulary_size=V)
        rules = {"end": None, "pad": PAD, "temperature": temperature, "typical_p": 0.5}
        writing, tokens = jitted(chain(table), writing, num_tokens=3, forbidden=(2,), **rules)
        assert tokens.tolist() == [[1, PAD, PAD], [4, 4, 4]]
        assert writing.ended.tolist() == [True, False] and writing.log_probs.tolist() == [-np.inf, 0.0]


def test_nan_ends_its_row_and_no_other():
    """Behind token 1, which every row writes first; a row that has ended before never meets it."""
    table = np.random.default_rng(0).normal(size=(ROWS, V, V)).astype(np.float32)
    table[:, PROMPT, 1], table[:, :, END] = 30.0, -30.0
    table[2, 5, END] = 60.0
    wrong = table.copy()
    wrong[1:, 1, 2] = wrong[2, END] = np.nan
    clean, ours = (jitted(chain(t), start({}), num_tokens=6, end=END, pad=PAD) for t in (table, wrong))
    np.testing.assert_array_equal(ours[1][1], [1] + [PAD] * 5)
    assert np.isnan(ours[0].log_probs[1]) and ours[0].ended.tolist() == [False, True, True]
    for row in (0, 2):
        np.testing.assert_array_equal(ours[1][row], clean[1][row])
        assert ours[0].log_probs[row] == clean[0].log_probs[row] and np.isfinite(ours[0].log_probs[row])
    later, tokens = jitted(chain(table), ours[0], num_tokens=6, end=END, pad=PAD)
    assert (tokens[1:] == PAD).all() and np.isnan(later.log_probs[1])


@pytest.mark.parametrize(("temperature", "cuts"), [(1.0, {}), (2.0, {}), (1.0, {"top_k": 5, "typical_p": 0.75})])
def test_draws_follow_the_distribution(temperature, cuts):
    """20,000 rows of two tokens, against p(a) p(b | a): χ² of as many cells as can be, at 0.1 %."""
    logits = np.random.default_rng(5).normal(size=(V, V)).astype(np.float32)
    scaled = np.asarray(cut_unlikely(jnp.asarray(logits / temperature), **cuts), np.float64)
    probabilities = np.exp(scaled) / np.exp(scaled).sum(axis=1, keepdims=True)
    expected = 20_000 * probabilities[0][:, None] * probabilities
    writing = begin((), jnp.zeros(20_000, jnp.int32), jax.random.key(2), vocabulary_size=V)
    _, tokens = jitted(chain(logits), writing, num_tokens=2, end=None, temperature=temperature, **cuts)
    counts = np.zeros((V, V))
    np.add.at(counts, tuple(np.asarray(tokens).T), 1)
    possible = expected > 0
    assert not counts[~possible].any()
    chi_square = ((counts - expected)[possible] ** 2 / expected[possible]).sum()
    freedom = possible.sum() - 1
    assert chi_square < freedom * (1 - 2 / (9 * freedom) + 3.09 * np.sqrt(2 / (9 * freedom))) ** 3  # Wilson-Hilferty


def test_a_repetition_penalty_knows_the_prompt():
    """The best token after 0 was in row 0's prompt: 3.0 / 2 is less than 2.0; row 1 has not seen it."""
    table = np.zeros((V, V))
    table[:, 5], table[:, 6] = 3.0, 2.0
    seen = np.zeros((2, V), bool)
    seen[0, 5] = True
    writing = begin((), jnp.array([0, 0]), KEYS[:2], vocabulary_size=V, seen=jnp.asarray(seen))
    _, tokens = jitted(
        chain(table), writing, num_tokens=3, end=None, temperature=0.0, repetition_penalty=2.0, forbidden=(1, 2, 3)
    )
    assert tokens.tolist() == [[6, 5, 5], [5, 6, 5]]  # both seen: 1.5 against 1.0, and the rest at 0


def test_changed_numbers_compile_nothing():
    step, carry = machine(0)
    write_on = jax.jit(functools.partial(write, step), static_argnames=STATIC)
    writing = start(carry)
    with counted_programs() as programs:
        for number in (0.0, 0.3, 0.9, 1.0):
            numbers = dict.fromkeys(("temperature", "top_p", "typical_p", "repetition_penalty"), number)
            writing, _ = write_on(writing, num_tokens=4, end=END, **numbers)
    assert programs["write"] == 1, programs


def test_nothing_to_write():
    """No rows, or no tokens: nothing is changed."""
    step, carry = machine(0)
    before = start(carry)
    after, tokens = jitted(step, before, num_tokens=0, end=END)
    assert tokens.shape == (ROWS, 0)
    np.testing.assert_array_equal(jax.random.key_data(after.keys), jax.random.key_data(before.keys))
    jax.tree.map(np.testing.assert_array_equal, after._replace(keys=()), before._replace(keys=()))
    for settings in ({}, {"top_p": 0.5, "typical_p": 0.5, "repetition_penalty": 2.0}):
        after, tokens = jitted(step, start(carry, slice(0)), num_tokens=4, end=END, **settings)
        assert tokens.shape == (0, 4) and after.t == 4


def test_one_key_is_folded_with_the_number_of_the_row():
    folded = jnp.stack([jax.random.fold_in(KEYS[0], row) for row in range(ROWS)])
    for key in (KEYS[0], jax.random.key_data(KEYS[0])):
        ours = begin((), PROMPT, key, vocabulary_size=V)
        np.testing.assert_array_equal(jax.random.key_data(ours.keys), jax.random.key_data(folded))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"vocabulary_size": 0}, "vocabulary_size is an integer of at least 1; got 0."),
        ({"vocabulary_size": 5}, r"last holds integers in 0 … 4; got 5\."),
        ({"carry": jnp.zeros((2, 4))}, r"carry holds arrays \(3, …\), as last has tokens; got \(2, 4\)\."),
        ({"keys": KEYS[:2]}, r"keys is one jax.random.key for each of the 3 examples.*; got key<fry> \(2,\)\."),
        ({"seen": jnp.zeros((3, 4), bool)}, r"seen has shape \(3, 7\); got \(3, 4\)\."),
    ],
)
def test_a_senseless_beginning_is_refused(given, message):
    arguments = {"carry": (), "last": PROMPT, "keys": KEYS, "vocabulary_size": V} | given
    with pytest.raises(ValueError, match=f"^{message}"):
        begin(**arguments)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"num_tokens": -1}, "num_tokens is an integer of at least 0; got -1."),
        ({"temperature": -0.5}, r"temperature is finite, and positive or 0, which is greedy; got -0\.5\."),
        ({"temperature": float("nan")}, "temperature is finite"),
        ({"top_k": -1}, "top_k is "),
        ({"top_p": 0.0}, "top_p is a probability"),
        ({"typical_p": 1.5}, "typical_p is a probability"),
        ({"temperature": 0, "typical_p": 1.5}, "typical_p is a probability"),
        ({"repetition_penalty": 0.0}, "A repetition penalty is positive"),
        ({"end": V}, "end is an integer in 0 … 6, the vocabulary; got 7."),
        ({"forbidden": (0, V)}, "A forbidden token is an integer in 0 … 6, the vocabulary; got 7."),
        ({"forbidden": tuple(range(V))}, "forbidden leaves no token to write: it holds all 7."),
        ({"step": lambda carry, tokens: jnp.zeros((3, V))}, r"step returns \(carry, logits\), a pair"),
        (
            {"step": lambda carry, tokens: (carry, jnp.zeros((3, 9)))},
            r"step returns \(carry, logits\), the logits \(3, 7\) for this carry; got float32 \(3, 9\)\.",
        ),
    ],
)
def test_senseless_writing_is_refused(given, message):
    step, carry = machine(0)
    arguments = {"step": step, "writing": start(carry), "num_tokens": 2, "end": END} | given
    with pytest.raises(ValueError, match=f"^{message}"):
        write(**arguments)
