"""Decoding against enumeration of all sequences, and what each way of it promises."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rnn_jax.decoding import beam_search, cut_unlikely, greedy, sample

V, START, END, PAD = 4, 0, 3, 9
HIDDEN = 6
# Compiled once for all machines of a shape: these are arguments, and so are lengths and penalties.
SETTINGS = ("start", "end", "pad", "limit")
jitted_search = jax.jit(beam_search, static_argnames=(*SETTINGS, "num_best"))
jitted_greedy, jitted_sample = (jax.jit(decode, static_argnames=SETTINGS) for decode in (greedy, sample))


def machine(seed):
    """A step function with a real memory (its scores depend on all tokens so far), and carries of two examples."""
    rng = np.random.default_rng(seed)
    w_h, w_x, w_o, first = (
        jnp.asarray(1.5 * rng.normal(size=shape), jnp.float32)
        for shape in [(HIDDEN, HIDDEN), (V, HIDDEN), (HIDDEN, V), (2, HIDDEN)]
    )

    return jax.tree_util.Partial(machine_step, w_h, w_x, w_o), first


def machine_step(w_h, w_x, w_o, carry, tokens):
    carry = {"h": jnp.tanh(carry["h"] @ w_h + w_x[tokens])}
    return carry, carry["h"] @ w_o


def start_of(first, hypotheses):
    return {"h": jnp.broadcast_to(first[:, None], (len(first), hypotheses, HIDDEN))}


def options(max_lengths, limit=None):
    limits = jnp.asarray(max_lengths, jnp.int32)
    return {"start": START, "end": END, "pad": PAD, "max_lengths": limits, "limit": limit or int(max(max_lengths))}


def all_sequences(step, first, max_length, penalty):
    """(score, log p, tokens) of every sequence of at most `max_length` tokens and the end, the best first."""
    found = []
    for length in range(max_length + 1):
        for tokens in itertools.product([0, 1, 2], repeat=length):
            carry, log_p = {"h": first[None, None]}, 0.0
            for last, token in itertools.pairwise([START, *tokens, END]):
                carry, logits = step(carry, jnp.full((1, 1), last, jnp.int32))
                log_p += float(jax.nn.log_softmax(logits[0, 0])[token])
            found.append((log_p / ((5 + length + 1) / 6) ** penalty, log_p, tokens))
    return sorted(found, reverse=True)


@pytest.mark.parametrize(("seed", "penalty"), [(0, 0.0), (1, 1.0), (2, 0.6), (3, 2.0)])
def test_a_large_beam_is_exhaustive_search(seed, penalty):
    step, first = machine(seed)
    found = jitted_search(step, start_of(first, 60), **options([3, 2]), length_penalty=penalty)
    for example, max_length in ((0, 3), (1, 2)):
        expected = all_sequences(step, first[example], max_length, penalty)
        count = len(expected)
        np.testing.assert_allclose(found.scores[example, :count], [row[0] for row in expected], rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(found.log_probs[example, :count], [row[1] for row in expected], rtol=1e-4, atol=1e-4)
        for row, (_, _, tokens) in enumerate(expected[:10]):
            assert found.lengths[example, row] == len(tokens)
            assert found.tokens[example, row].tolist() == [*tokens, *[PAD] * (3 - len(tokens))]
        assert (found.scores[example, count:] == -jnp.inf).all()  # there are no more sequences
        assert not found.lengths[example, count:].any() and (found.tokens[example, count:] == PAD).all()


@pytest.mark.parametrize("penalty", [0.0, 1.0, 3.0])
@pytest.mark.parametrize("seed", range(6))
def test_a_beam_of_one_is_greedy(seed, penalty):
    step, first = machine(seed)
    ours = jitted_search(step, start_of(first, 1), **options([12, 7]), length_penalty=penalty)
    best = jitted_greedy(step, start_of(first, 1), **options([12, 7]))
    np.testing.assert_array_equal(ours.tokens, best.tokens)
    np.testing.assert_array_equal(ours.lengths, best.lengths)
    np.testing.assert_allclose(ours.log_probs, best.log_probs, rtol=1e-5)


def test_greedy_by_hand():
    """Probabilities of the next token by the last one: 0 → 1 (0.6), 1 → 2 (0.5), 2 → end (0.9)."""
    table = jnp.log(
        jnp.array([[0.1, 0.6, 0.2, 0.1], [0.2, 0.2, 0.5, 0.1], [0.05, 0.03, 0.02, 0.9], [0.25] * 4], jnp.float32)
    )

    def step(carry, tokens):
        return carry, table[tokens]

    found = greedy(step, jnp.zeros((2, 1, 1)), **options([5, 1]))
    assert found.tokens[:, 0].tolist() == [[1, 2, PAD, PAD, PAD], [1, PAD, PAD, PAD, PAD]]
    assert found.lengths[:, 0].tolist() == [2, 1]  # the second one was not let go on: its end is forced
    np.testing.assert_allclose(jnp.exp(found.log_probs[:, 0]), [0.6 * 0.5 * 0.9, 0.6 * 0.1], rtol=1e-5)


def test_beam_search_finds_what_greedy_misses():
    """The likelier first token leads to an unlikely rest: 1 · · (0.6 × 0.1) against 2 · · (0.4 × 0.9)."""
    after = {0: [0.0, 0.6, 0.4, 0.0], 1: [0.45, 0.45, 0.0, 0.1], 2: [0.05, 0.05, 0.0, 0.9]}
    table = jnp.log(jnp.array([after[0], after[1], after[2], [0.25] * 4], jnp.float32))

    def step(carry, tokens):
        return carry, table[tokens]

    carry = jnp.zeros((1, 2, 1))
    assert greedy(step, carry[:, :1], **options([1])).tokens[0, 0].tolist() == [1]
    found = beam_search(step, carry, **options([1]))
    assert found.tokens[0, :, 0].tolist() == [2, 1]
    np.testing.assert_allclose(jnp.exp(found.scores[0]), [0.36, 0.06], rtol=1e-5)


def test_unlikely_early_ends_do_not_stop_the_search():
    """1 again and again with 0.8, at every step the end with 0.15: the first three ends are no reason to stop."""
    table = jnp.log(jnp.array([[0.02, 0.8, 0.03, 0.15]] * 3 + [[0.25] * 4], jnp.float32))

    def step(carry, tokens):
        last = jnp.log(jnp.array([0.001, 0.001, 0.001, 0.997], jnp.float32))
        return carry + 1, jnp.where(carry[..., :1] >= 6, last[None, None], table[tokens])

    for num_best in (0, 1):
        found = beam_search(step, jnp.zeros((1, 3, V)), **options([20]), num_best=num_best)
        assert found.tokens[0, 0].tolist() == [1] * 6 + [PAD] * 14
        np.testing.assert_allclose(found.log_probs[0, 0], 6 * np.log(0.8) + np.log(0.997), rtol=1e-4)


def decode_all(step, first, keys):
    yield jitted_search(step, start_of(first, 3), **options([9] * len(first)), length_penalty=1.0)
    yield jitted_greedy(step, start_of(first, 1), **options([9] * len(first)))
    yield jitted_sample(step, start_of(first, 3), keys, **options([9] * len(first)))


def test_examples_are_decoded_as_if_alone():
    step, first = machine(4)
    keys = jax.random.split(jax.random.key(1), 2)
    together = list(decode_all(step, first, keys))
    for row in range(2):
        for ours, alone in zip(together, decode_all(step, first[row : row + 1], keys[row : row + 1]), strict=True):
            for a, b in zip(ours, alone, strict=True):
                np.testing.assert_allclose(a[row], b[0], rtol=1e-5)


@pytest.mark.parametrize("penalty", [0.0, 0.6, 2.0])
def test_ending_early_changes_nothing_about_the_best(penalty):
    """And an example that is done stays done, however long the others go on."""
    for seed in range(3):
        step, first = machine(seed)
        whole = jitted_search(step, start_of(first, 4), **options([12, 12]), length_penalty=penalty)
        for num_best in (1, 2):
            flags = {"length_penalty": penalty, "num_best": num_best}
            together = jitted_search(step, start_of(first, 4), **options([12, 12]), **flags)
            np.testing.assert_array_equal(together.tokens[:, :num_best], whole.tokens[:, :num_best])
        alone = jitted_search(step, start_of(first[1:], 4), **options([12]), **flags)
        np.testing.assert_array_equal(together.tokens[1, :2], alone.tokens[0, :2])


def test_a_late_end_may_win_by_the_length_penalty():
    """End at once (0.2), or token 1 (0.15) and nine sure steps and the end: longer and, by penalty 1, better."""
    sure = jnp.array([0.0, 1.0, 0.0, 0.0])

    def step(carry, tokens):
        first = jnp.array([0.25, 0.15, 0.4, 0.2])
        later = jnp.where(tokens[..., None] != 1, jnp.array([0.25] * 4)[None, None], sure[None, None])
        later = jnp.where(
            (carry[..., :1] >= 9) & (tokens[..., None] == 1), sure[::-1].at[2].set(0).at[3].set(1)[None, None], later
        )
        return carry + 1, jnp.log(jnp.where(carry[..., :1] == 0, first[None, None], later))

    for num_best in (0, 1):
        found = beam_search(step, jnp.zeros((1, 4, V)), **options([12]), length_penalty=1.0, num_best=num_best)
        assert found.tokens[0, 0].tolist() == [1] * 9 + [PAD] * 3


def test_the_loop_ends_when_all_have_ended():
    steps = []

    def step(carry, tokens):
        jax.debug.callback(lambda: steps.append(1))
        is_end = jnp.broadcast_to(jnp.arange(V) == END, (*tokens.shape, V))
        return carry + 1, jnp.where(is_end & (carry >= 2), 20.0, 0.0)

    for decode in (greedy, beam_search):
        steps.clear()
        found = decode(step, jnp.zeros((2, 1, 1)), **options([500, 500]))
        jax.effects_barrier()
        assert found.lengths[:, 0].tolist() == [2, 2] and len(steps) == 3


@pytest.mark.parametrize(("num_best", "num_steps"), [(1, 1), (0, 41)])
def test_the_loop_ends_when_nothing_can_be_better(num_best, num_steps):
    """The end at once has 0.9; what goes on ends at the limit only, and is waited for only where it is wanted."""
    steps = []

    def step(carry, tokens):
        jax.debug.callback(lambda: steps.append(1))
        at_first, later = jnp.log(jnp.array([0.04, 0.03, 0.03, 0.9])), jnp.array([0.0, 0.0, 0.0, -30.0])
        return carry + 1, jnp.where(carry[..., :1] == 0, at_first[None, None], later[None, None])

    found = beam_search(step, jnp.zeros((1, 3, 1)), **options([40]), num_best=num_best)
    jax.effects_barrier()
    assert found.lengths[0, 0] == 0 and len(steps) == num_steps


@pytest.mark.parametrize("options_", [{"length_penalty": -0.5}, {"num_best": 4}, {"num_best": -1}])
def test_a_senseless_search_is_refused(options_):
    step, first = machine(0)
    with pytest.raises(ValueError, match="length_penalty=|num_best is an integer in 0 … 3"):
        beam_search(step, start_of(first, 3), **options([3, 3]), **options_)


def test_hypotheses_are_sorted_and_differ():
    step, first = machine(5)
    found = beam_search(step, start_of(first, 8), **options([6, 6]))
    assert (jnp.diff(found.scores, axis=1) <= 0).all()
    for example in range(2):
        assert len({tuple(tokens) for tokens in found.tokens[example].tolist()}) == 8


def test_draws_do_not_depend_on_how_many_are_drawn():
    step, first = machine(3)
    keys = jax.random.split(jax.random.key(5), len(first))
    few, many = (sample(step, start_of(first, n), keys, **options([8] * len(first))) for n in (2, 6))
    drawn = lambda found, row: {tuple(tokens) for tokens in found.tokens[row].tolist()}  # noqa: E731
    assert all(drawn(few, row) <= drawn(many, row) for row in range(len(first)))
    assert max(len(drawn(many, row)) for row in range(len(first))) > 2


def test_draws_follow_the_distribution():
    """20,000 draws of one token, against its probabilities: χ² with 3 degrees of freedom, 16.3 at 0.1 %."""
    probabilities = np.array([0.1, 0.2, 0.3, 0.4])

    def step(carry, tokens):
        first = jnp.log(jnp.asarray(probabilities, jnp.float32))
        later = jnp.where(jnp.arange(V) == END, 0.0, -jnp.inf)
        return carry + 1, jnp.where(carry == 0, first[None, None], later[None, None])

    keys = jax.random.key(0)[None]
    found = sample(step, jnp.zeros((1, 20_000, 1)), keys, **options([3]))
    first = np.where(found.lengths[0] == 0, END, found.tokens[0, :, 0])
    counts = np.bincount(first, minlength=V)
    assert ((counts - 20_000 * probabilities) ** 2 / (20_000 * probabilities)).sum() < 16.3
    np.testing.assert_allclose(jnp.exp(found.log_probs[0]), probabilities[first], rtol=1e-5)
    assert (jnp.diff(found.scores[0]) <= 0).all()


def test_a_sample_without_choice_is_greedy():
    step, first = machine(6)
    keys = jax.random.split(jax.random.key(2), 2)
    best = greedy(step, start_of(first, 1), **options([8, 8]))
    for cut in ({"top_k": 1}, {"top_p": 1e-6}, {"temperature": 1e-3}):
        ours = sample(step, start_of(first, 1), keys, **options([8, 8]), **cut)
        np.testing.assert_array_equal(ours.tokens, best.tokens)
        np.testing.assert_allclose(ours.log_probs, best.log_probs, rtol=1e-5)  # of the model, not of what was cut


def test_cutting():
    logits = jnp.log(jnp.array([[0.1, 0.4, 0.2, 0.3], [0.25, 0.25, 0.25, 0.25]], jnp.float32))
    kept = lambda **cut: (cut_unlikely(logits, **cut) > -jnp.inf).tolist()  # noqa: E731
    everything = [[True] * 4] * 2
    assert kept() == kept(top_k=4) == kept(top_k=9) == everything
    assert kept(top_k=2) == [[False, True, False, True], [True, True, False, False]]  # of equal ones, the first
    assert kept(top_p=0.49)[1] == [True, True, False, False]  # at 0.5 itself the rounding of a sum would decide
    assert kept(top_p=0.65)[0] == [False, True, False, True]
    assert kept(top_p=0.71)[0] == [False, True, True, True]
    assert kept(top_k=3, top_p=0.45)[0] == [False, True, False, True]  # of 0.9: 0.44 is not enough
    np.testing.assert_array_equal(cut_unlikely(logits, top_k=2)[0, 1::2], logits[0, 1::2])


@pytest.mark.parametrize("cut", [{"temperature": 0.0}, {"top_k": -1}, {"top_p": 0.0}, {"top_p": 1.5}])
def test_senseless_sampling_is_refused(cut):
    step, first = machine(0)
    with pytest.raises(ValueError, match=f"^{next(iter(cut))} is "):
        sample(step, start_of(first, 1), jax.random.split(jax.random.key(0), 2), **options([3, 3]), **cut)
