"""The CRF against lists of all paths, scored one by one in numpy; constraints there remove paths from the list."""

import itertools

import jax
import jax.flatten_util
import jax.numpy as jnp
import numpy as np
import pytest
from oracles.jitting import quick_jit

from rnn_jax.tagging import crf

L, T = 3, 5
# Full, padded at the end, a gap, padding on both sides and two gaps, one step, one step late, none.
MASK = np.array([[c == "1" for c in row] for row in ("11111", "11100", "11011", "01010", "10000", "00010", "00000")])
ROWS = len(MASK)
EVERY_PATH = L**T
SCORE, PARTITION = quick_jit(crf.sequence_score), quick_jit(crf.log_partition)
LIKELIHOOD, MARGINALS, VITERBI = quick_jit(crf.log_likelihood), quick_jit(crf.marginals), quick_jit(crf.viterbi)
NBEST = quick_jit(crf.nbest, static_argnums=3)
CONSTRAIN = quick_jit(crf.constrain)


@pytest.fixture(params=["float32", "float64"])
def dtype(request):
    with jax.enable_x64(request.param == "float64"):
        yield np.dtype(request.param)


@pytest.fixture
def float64():
    with jax.enable_x64(True):
        yield


# --- data and reference -----------------------------------------------------------------------------------------------


def random_params(rng, labels=L, scale=1.5, dtype=np.float32):
    shapes = ((labels, labels), (labels,), (labels,))
    return crf.CRFParams(*(scale * rng.normal(size=shape).astype(dtype) for shape in shapes))


def random_legal(rng):
    """Some path is legal whatever the length: label 0 from start to end."""
    legal = crf.Legal(*(rng.random(shape) < 0.6 for shape in ((L, L), (L,), (L,))))
    for flags in legal:
        flags.flat[0] = True
    return legal


def case(seed, dtype=np.float32):
    rng = np.random.default_rng(seed)
    emissions = 2 * rng.normal(size=(ROWS, T, L)).astype(dtype)
    return rng, random_params(rng, dtype=dtype), emissions, rng.integers(0, L, (ROWS, T), np.int32)


def score_of(params, emissions, steps, path):
    """One path of one row, in Python numbers: `path` names a label for each of the real `steps`."""
    if not path:
        return 0.0
    score = float(params.start[path[0]]) + float(params.end[path[-1]])
    for step, label in zip(steps, path, strict=True):
        score += float(emissions[step, label])
    for label, following in itertools.pairwise(path):
        score += float(params.transitions[label, following])
    return score


def is_legal(legal, path):
    if legal is None or not path:
        return True
    pairs = all(legal.transitions[pair] for pair in itertools.pairwise(path))
    return bool(legal.start[path[0]] and legal.end[path[-1]] and pairs)


def paths_of(params, emissions, mask, legal=None):
    """Every legal path of one row, best first: labels (P, T) with 0 at padded steps, scores (P,) in float64."""
    steps = np.flatnonzero(mask)
    paths = [path for path in itertools.product(range(L), repeat=len(steps)) if is_legal(legal, path)]
    scores = np.array([score_of(params, emissions, steps, path) for path in paths])
    labels = np.zeros((len(paths), len(mask)), int)
    labels[:, steps] = np.array(paths, int).reshape(len(paths), len(steps))
    order = np.argsort(-scores)
    return labels[order], scores[order]


def log_sum(scores):
    return scores.max() + np.log(np.exp(scores - scores.max()).sum())


def seeds(*, constrained=(False, True)):
    """Seeds with and without constraints; the reference knows those as paths that do not exist."""
    return pytest.mark.parametrize(("seed", "constrained"), [(s, c) for c in constrained for s in range(3)])


def reference(seed, constrained, dtype):
    rng, params, emissions, labels = case(seed, dtype)
    legal = random_legal(rng) if constrained else None
    paths = [paths_of(params, emissions[row], MASK[row], legal) for row in range(ROWS)]
    if constrained:
        params = CONSTRAIN(params, legal)
    return rng, params, emissions, labels, paths


def near(dtype):
    return {"rtol": 1e-5, "atol": 2e-5} if dtype == np.float32 else {"rtol": 1e-11, "atol": 1e-11}


# --- values -----------------------------------------------------------------------------------------------------------


def test_two_steps_by_hand():
    """Scores are logarithms of small integers, so that each path's weight is a product of five of them."""
    log = np.log
    params = crf.CRFParams(log([[1.0, 4], [2, 5]]), log([1.0, 2]), log([3.0, 1]))
    params = crf.CRFParams(*(leaf.astype(np.float32) for leaf in params))
    emissions = log(np.array([[[1, 3], [2, 1]]], np.float32))
    # path   start · e_1 · transition · e_2 · end
    # 0 0      1   ·  1  ·     1      ·  2  ·  3  =  6
    # 0 1      1   ·  1  ·     4      ·  1  ·  1  =  4
    # 1 0      2   ·  3  ·     2      ·  2  ·  3  = 72
    # 1 1      2   ·  3  ·     5      ·  1  ·  1  = 30, so Z = 112
    real = np.array([[True, True]])
    labels = np.array([[1, 0]], np.int32)
    close = {"rtol": 1e-5}
    np.testing.assert_allclose(np.exp(SCORE(params, emissions, labels, real)), [72], **close)
    np.testing.assert_allclose(np.exp(PARTITION(params, emissions, real)), [112], **close)
    np.testing.assert_allclose(np.exp(LIKELIHOOD(params, emissions, labels, real)), [72 / 112], **close)
    first_only = np.array([[True, False]])
    np.testing.assert_allclose(np.exp(LIKELIHOOD(params, emissions, labels, real, first_only)), [102 / 112], **close)
    np.testing.assert_allclose(
        MARGINALS(params, emissions, real), [[[10 / 112, 102 / 112], [78 / 112, 34 / 112]]], **close
    )
    best, scores = NBEST(params, emissions, real, 4)
    assert best.tolist() == [[[1, 0], [1, 1], [0, 0], [0, 1]]]
    np.testing.assert_allclose(np.exp(scores), [[72, 30, 6, 4]], **close)
    # One real step: 1 · 1 · 3 = 3 and 2 · 3 · 1 = 6.
    np.testing.assert_allclose(np.exp(PARTITION(params, emissions, first_only)), [9], **close)


@seeds(constrained=(False,))
def test_score_and_likelihood_of_given_labels(seed, constrained, dtype):
    _, params, emissions, labels, paths = reference(seed, constrained, dtype)
    steps = [np.flatnonzero(real) for real in MASK]
    expected = [score_of(params, emissions[row], steps[row], labels[row, steps[row]].tolist()) for row in range(ROWS)]
    scores, likelihood = SCORE(params, emissions, labels, MASK), LIKELIHOOD(params, emissions, labels, MASK)
    np.testing.assert_allclose(scores, expected, **near(dtype))
    np.testing.assert_allclose(likelihood, np.subtract(expected, [log_sum(p[1]) for p in paths]), **near(dtype))
    assert scores.dtype == likelihood.dtype == dtype


@seeds()
def test_log_partition(seed, constrained, dtype):
    """`allowed` leaves paths out of the sum; here it leaves at least the best one in."""
    rng, params, emissions, _, paths = reference(seed, constrained, dtype)
    partition = PARTITION(params, emissions, MASK)
    np.testing.assert_allclose(partition, [log_sum(scores) for _, scores in paths], **near(dtype))
    assert partition.dtype == dtype

    allowed, expected = rng.random((ROWS, T, L)) < 0.5, []
    for row, (labels, scores) in enumerate(paths):
        allowed[row, np.arange(T), labels[0]] = True
        kept = (allowed[row, np.arange(T), labels] | ~MASK[row]).all(axis=1)
        expected.append(log_sum(scores[kept]))
    np.testing.assert_allclose(PARTITION(params, emissions, MASK, allowed), expected, **near(dtype))


@seeds()
def test_likelihood_of_the_observed_labels(seed, constrained, dtype):
    """The share of the paths that agree with them; labels at steps that are not observed may be anything."""
    rng, params, emissions, _, paths = reference(seed, constrained, dtype)
    observed = rng.random((ROWS, T)) < 0.5
    observed[1], observed[2] = True, False
    chosen, expected = rng.choice([-7, 99], (ROWS, T)).astype(np.int32), []
    for row, (labels, scores) in enumerate(paths):
        seen = observed[row] & MASK[row]
        chosen[row][seen] = labels[len(labels) // 2][seen]
        agree = (labels[:, seen] == chosen[row][seen]).all(axis=1)
        expected.append(log_sum(scores[agree]) - log_sum(scores))
    likelihood = LIKELIHOOD(params, emissions, chosen, MASK, observed)
    np.testing.assert_allclose(likelihood, expected, **near(dtype))
    assert abs(likelihood[2]) < 1e-5


@seeds()
def test_marginals(seed, constrained, dtype):
    _, params, emissions, _, paths = reference(seed, constrained, dtype)
    expected = np.zeros((ROWS, T, L))
    for row, (labels, scores) in enumerate(paths):
        for path, probability in zip(labels, np.exp(scores - log_sum(scores)), strict=True):
            for step in np.flatnonzero(MASK[row]):
                expected[row, step, path[step]] += probability
    actual = MARGINALS(params, emissions, MASK)
    np.testing.assert_allclose(actual, expected, **near(dtype))
    assert actual.dtype == dtype
    assert not np.asarray(actual)[~MASK].any()


@seeds()
def test_viterbi(seed, constrained, dtype):
    _, params, emissions, _, paths = reference(seed, constrained, dtype)
    labels, scores = VITERBI(params, emissions, MASK)
    np.testing.assert_array_equal(labels, [best[0] for best, _ in paths])
    np.testing.assert_allclose(scores, [best[0] for _, best in paths], **near(dtype))
    assert (labels.dtype, scores.dtype) == (np.int32, dtype)


@pytest.mark.parametrize("n", [1, 2, 7, EVERY_PATH + 3])
@seeds()
def test_nbest(seed, constrained, n, dtype):
    """More than there are paths, too: then the others score −∞, or, if only the illegal ones are left, very low."""
    _, params, emissions, _, paths = reference(seed, constrained, dtype)
    labels, scores = (np.asarray(array) for array in NBEST(params, emissions, MASK, n))
    assert (labels.dtype, scores.dtype) == (np.int32, dtype)
    for row, (expected, expected_scores) in enumerate(paths):
        found = min(n, len(expected))
        np.testing.assert_array_equal(labels[row, :found], expected[:found])
        np.testing.assert_allclose(scores[row, :found], expected_scores[:found], **near(dtype))
        exist = min(n, L ** MASK[row].sum())  # illegal ones included
        assert (scores[row, found:exist] < -9e5).all() and np.isfinite(scores[row, :exist]).all()
        assert len({tuple(path) for path in labels[row, :exist]}) == exist
        assert (scores[row, exist:] == -np.inf).all() and not labels[row, exist:].any()


def test_an_emission_of_minus_infinity_takes_its_paths_away():
    """Only those of label 2 at the second step are left: 3 · 3 of 27."""
    _, params, emissions, _ = case(4)
    emissions[:, 1, :2] = -np.inf
    paths, scores = paths_of(params, emissions[0], MASK[1])
    actual, actual_scores = NBEST(params, emissions[:1], MASK[1:2], 12)
    np.testing.assert_array_equal(actual[0], np.where((np.arange(12) < 9)[:, None], paths[:12], 0))
    np.testing.assert_allclose(actual_scores[0], scores[:12], **near(np.float32))


def test_probabilities_of_all_paths_sum_to_one():
    """Likelihoods of the labels that `nbest` lists, not its own scores."""
    _, params, emissions, _ = case(5)
    labels, _ = NBEST(params, emissions[:1], MASK[:1], EVERY_PATH)
    every = (EVERY_PATH, 1, 1)
    emissions, mask = np.tile(emissions[0], every), np.tile(MASK[0], every[:2])
    probabilities = np.exp(LIKELIHOOD(params, emissions, labels[0], mask))
    np.testing.assert_allclose(probabilities.sum(), 1, rtol=1e-4)
    assert (np.diff(probabilities) <= 1e-6).all()


def test_bfloat16_emissions_are_computed_in_float32():
    """As precisely as the numbers that they hold allow."""
    _, params, emissions, labels = case(6)
    rounded = jnp.asarray(emissions, jnp.bfloat16)
    paths = [paths_of(params, np.asarray(rounded[row], np.float64), MASK[row]) for row in range(ROWS)]
    partition = PARTITION(params, rounded, MASK)
    np.testing.assert_allclose(partition, [log_sum(scores) for _, scores in paths], **near(np.float32))
    outputs = (partition, LIKELIHOOD(params, rounded, labels, MASK), MARGINALS(params, rounded, MASK))
    assert {str(output.dtype) for output in outputs} == {"float32"}
    gradient = quick_jit(jax.grad(lambda e, mask: crf.log_partition(params, e, mask).sum()))(rounded, MASK)
    assert gradient.dtype == jnp.bfloat16
    np.testing.assert_allclose(np.asarray(gradient, np.float32), outputs[2], rtol=2**-8)


def test_without_steps_or_rows():
    """log Z, score and likelihood of the empty sequence are 0, and it is its own best path."""
    _, params, emissions, labels = case(7)
    arguments = params, emissions[:2, :0], labels[:2, :0], MASK[:2, :0]
    assert SCORE(*arguments).tolist() == LIKELIHOOD(*arguments).tolist() == [0, 0]
    paths, scores = NBEST(params, arguments[1], arguments[3], 2)
    assert paths.shape == (2, 2, 0)
    assert scores.tolist() == [[0, -np.inf]] * 2
    assert LIKELIHOOD(params, emissions[:0], labels[:0], MASK[:0]).shape == (0,)
    assert MARGINALS(params, emissions[:0], MASK[:0]).shape == (0, T, L)
    assert NBEST(params, emissions[:0], MASK[:0], 2)[0].shape == (0, 2, T)


def test_a_new_crf_decides_each_step_for_itself():
    _, _, emissions, labels = case(8)
    params = crf.init_crf(L)
    assert {str(leaf.dtype) for leaf in params} == {"float32"}
    expected = np.where(MASK, np.take_along_axis(jax.nn.log_softmax(emissions), labels[..., None], -1)[..., 0], 0)
    np.testing.assert_allclose(LIKELIHOOD(params, emissions, labels, MASK), expected.sum(-1), **near(np.float32))
    np.testing.assert_array_equal(VITERBI(params, emissions, MASK)[0], np.where(MASK, emissions.argmax(-1), 0))


# --- gradients --------------------------------------------------------------------------------------------------------


def central_differences(function, point, step=1e-5):
    """∂f/∂x for a flat x, f vectorised over a leading axis."""
    point, shifts = np.asarray(point), step * np.eye(point.size)
    return np.subtract(function(point + shifts), function(point - shifts)) / (2 * step)


def test_likelihoods_gradient_is_that_of_finite_differences(float64):
    """Of params and emissions, half of the labels observed; the rows weigh differently."""
    rng, params, emissions, labels = case(9, np.float64)
    observed, weights = jnp.asarray(rng.random((ROWS, T)) < 0.5), rng.normal(size=(2, ROWS))
    given = jnp.asarray(labels), jnp.asarray(MASK)
    flat, unravel = jax.flatten_util.ravel_pytree((params, emissions))

    def objective(flat):
        arguments = (*unravel(flat), *given)
        return weights[0] @ crf.log_likelihood(*arguments) + weights[1] @ crf.log_likelihood(*arguments, observed)

    differences = central_differences(quick_jit(jax.vmap(objective)), flat)
    np.testing.assert_allclose(quick_jit(jax.grad(objective))(flat), differences, rtol=1e-6, atol=1e-8)
    assert np.abs(differences[: L * L + 2 * L]).min() > 1e-3  # each of the params matters


def test_marginals_can_be_differentiated(float64):
    rng, params, emissions, _ = case(10, np.float64)
    weights, mask = rng.normal(size=emissions.shape), jnp.asarray(MASK)
    flat, unravel = jax.flatten_util.ravel_pytree((params, emissions))

    def objective(flat):
        return (weights * crf.marginals(*unravel(flat), mask)).sum()

    differences = central_differences(quick_jit(jax.vmap(objective)), flat)
    np.testing.assert_allclose(quick_jit(jax.grad(objective))(flat), differences, rtol=1e-6, atol=1e-8)
    assert np.abs(differences).max() > 0.1


def test_constrain_leaves_legal_scores_alone():
    """Illegal ones are replaced, however high, and what depends on them does not depend on the params."""
    rng = np.random.default_rng(17)
    params, legal = random_params(rng, scale=1e7), random_legal(rng)
    for scores, given, flags in zip(CONSTRAIN(params, legal), params, legal):
        np.testing.assert_array_equal(np.asarray(scores)[flags], given[flags])
        assert (np.asarray(scores)[~flags] < -9e5).all()
    gradient = quick_jit(jax.grad(lambda params, legal: sum(leaf.sum() for leaf in crf.constrain(params, legal))))
    jax.tree.map(np.testing.assert_array_equal, tuple(gradient(params, legal)), tuple(legal))


def test_the_likelihood_of_an_illegal_label_is_as_low_observed_alone():
    """The paths that agree with it are illegal, and still count before those that do not agree."""
    params = CONSTRAIN(crf.init_crf(2), crf.Legal(np.ones((2, 2), bool), np.array([True, False]), np.ones(2, bool)))
    labels, observed = np.array([[1, 0]], np.int32), np.array([[True, False]])
    emissions, mask = np.zeros((1, 2, 2), np.float32), np.ones((1, 2), bool)
    np.testing.assert_allclose(LIKELIHOOD(params, emissions, labels, mask, observed), -1e6, rtol=1e-6)
    np.testing.assert_allclose(LIKELIHOOD(params, emissions, labels, mask), -1e6, rtol=1e-6)


def test_illegal_scores_have_no_gradient():
    """Those of legal ones are expected counts, which add up to the numbers of first steps and of transitions."""
    _, params, emissions, _ = case(11)
    legal = crf.Legal(np.eye(L, dtype=bool), np.array([True, False, True]), np.array([True, True, True]))

    def objective(params, legal, emissions, mask):
        return crf.log_partition(crf.constrain(params, legal), emissions, mask).sum()

    gradient = quick_jit(jax.grad(objective))(params, legal, emissions, MASK)
    assert gradient.start[1] == 0 and not np.asarray(gradient.transitions)[~legal.transitions].any()
    np.testing.assert_allclose(sum(gradient.start), MASK.any(axis=1).sum(), rtol=1e-5)
    np.testing.assert_allclose(gradient.transitions.sum(), (np.maximum(MASK.sum(axis=1), 1) - 1).sum(), rtol=1e-5)


def test_a_thousand_steps():
    """log Z of a long row, by products of matrices in float64; gradients are finite and marginals sum to 1."""
    rng, steps = np.random.default_rng(12), 1000
    params, emissions = random_params(rng, scale=3), 10 * rng.normal(size=(2, steps, L)).astype(np.float32)
    mask = np.arange(steps) < np.array([[1000], [700]])
    expected = []
    for row, length in enumerate((1000, 700)):
        weights, total = np.exp(params.start.astype(float)), 0.0
        for step in range(length):
            if step:
                weights = weights @ np.exp(params.transitions.astype(float))
            weights = weights * np.exp(emissions[row, step].astype(float))
            weights, total = weights / weights.sum(), total + np.log(weights.sum())
        expected.append(total + np.log(weights @ np.exp(params.end.astype(float))))
    np.testing.assert_allclose(PARTITION(params, emissions, mask), expected, rtol=1e-5)

    legal = random_legal(rng)
    labels = np.zeros((2, steps), np.int32)

    def objective(params, emissions, legal, labels, mask):
        return crf.log_likelihood(crf.constrain(params, legal), emissions, labels, mask).sum()

    gradients = quick_jit(jax.grad(objective, argnums=(0, 1)))(params, emissions, legal, labels, mask)
    assert all(np.isfinite(leaf).all() and np.any(leaf) for leaf in jax.tree.leaves(gradients))
    np.testing.assert_allclose(MARGINALS(params, emissions, mask).sum(axis=-1), mask, atol=1e-3)


# --- padding and constraints ------------------------------------------------------------------------------------------


def test_padding_is_invisible():
    """Whatever emissions, labels and flags hold at padded steps: values and gradients are the same to the bit."""
    rng, params, emissions, labels = case(13)
    observed, allowed = rng.random((ROWS, T)) < 0.5, rng.random((ROWS, T, L)) < 0.8
    allowed[..., 0] = True

    def outputs(params, emissions, labels, observed, allowed):
        mask = jnp.asarray(MASK)
        arguments = params, emissions, labels, mask
        return (
            crf.sequence_score(*arguments),
            crf.log_partition(params, emissions, mask, allowed),
            crf.log_likelihood(*arguments),
            crf.log_likelihood(*arguments, observed),
            crf.marginals(params, emissions, mask),
            *crf.viterbi(params, emissions, mask),
            crf.nbest(params, emissions, mask, 2)[0],
        )

    def loss(*arguments):
        return sum(jnp.sum(jnp.square(output)) for output in outputs(*arguments) if output.dtype == jnp.float32)

    program = quick_jit(lambda *arguments: (outputs(*arguments), jax.grad(loss, argnums=(0, 1))(*arguments)))
    padded = ~MASK
    expected = program(params, np.where(padded[..., None], 0, emissions), labels, observed, allowed)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(expected))
    for junk, wrong in ((np.nan, 99), (np.inf, -1), (-np.inf, -99)):
        emissions[padded], labels[padded], allowed[padded], observed[padded] = junk, wrong, False, wrong > 0
        jax.tree.map(np.testing.assert_array_equal, program(params, emissions, labels, observed, allowed), expected)


@pytest.mark.parametrize("strength", [1.0, 1000.0])
def test_decoding_obeys_constraints(strength):
    """Labels outside, begin, inside: inside may follow begin and inside only; the emissions like nothing better."""
    rng, steps, n = np.random.default_rng(14), 30, 5
    legal = crf.Legal(
        np.array([[1, 1, 0], [1, 1, 1], [1, 1, 1]], bool), np.array([1, 1, 0], bool), np.array([1, 1, 1], bool)
    )
    params = CONSTRAIN(random_params(rng), legal)
    emissions = strength * rng.normal(size=(8, steps, 3)).astype(np.float32)
    emissions[..., 0] += strength  # outside and inside in turn, which is illegal
    emissions[:, ::2, 2] += 3 * strength
    emissions[..., 1] -= 3 * strength
    free = emissions.argmax(-1)
    assert all(not is_legal(legal, row.tolist()) for row in free)
    mask = rng.random((8, steps)) < 0.8
    labels, _ = NBEST(params, emissions, mask, n)
    for row in range(8):
        for path in np.asarray(labels)[row][:, mask[row]]:
            assert is_legal(legal, path.tolist())
    np.testing.assert_array_equal(VITERBI(params, emissions, mask)[0], labels[:, 0])


def test_one_illegal_step_is_worth_no_gain_however_long_it_lasts():
    """Label 1 cannot be reached, and would gain 100 at each of 1000 steps."""
    legal = crf.Legal(np.eye(2, dtype=bool), np.array([True, False]), np.array([True, True]))
    emissions, mask = np.tile(np.float32([0, 100]), (1, 1000, 1)), np.ones((1, 1000), bool)
    params = CONSTRAIN(crf.init_crf(2), legal)
    labels, scores = VITERBI(params, emissions, mask)
    assert not labels.any() and scores.tolist() == [0]
    np.testing.assert_array_equal(MARGINALS(params, emissions, mask)[..., 1], 0)
    assert PARTITION(params, emissions, mask).tolist() == [0]


# --- transformations --------------------------------------------------------------------------------------------------


def everything(params, emissions, labels, mask, observed):
    return (
        crf.sequence_score(params, emissions, labels, mask),
        crf.log_likelihood(params, emissions, labels, mask),
        crf.log_likelihood(params, emissions, labels, mask, observed),
        crf.marginals(params, emissions, mask),
        crf.viterbi(params, emissions, mask),
        crf.nbest(params, emissions, mask, 3),
    )


def assert_close(actual, expected):
    jax.tree.map(lambda a, e: np.testing.assert_allclose(a, e, **near(np.float32)), actual, expected)


@pytest.fixture(scope="module")
def sample():
    """Arguments of `everything`, with params for each row, and what it gives row by row, each under its own params."""
    rng, _, emissions, labels = case(15)
    params = [random_params(rng) for _ in range(ROWS)]
    arguments = emissions, labels, MASK, rng.random((ROWS, T)) < 0.5
    program = quick_jit(everything)
    rows = [program(params[row], *(array[row] for array in arguments)) for row in range(ROWS)]
    return params, arguments, jax.tree.map(lambda *leaves: np.stack(leaves), *rows)


def test_vmap_over_params_and_rows_is_a_loop(sample):
    params, arguments, expected = sample
    stacked = jax.tree.map(lambda *leaves: np.stack(leaves), *params)
    assert_close(quick_jit(jax.vmap(everything))(stacked, *arguments), expected)


def test_leading_axes_are_batches(sample):
    """(2, 1, 3, T, L) as the first six rows, under the first row's params."""
    params, arguments, _ = sample
    grid = quick_jit(everything)(params[0], *(array[:6].reshape(2, 1, 3, *array.shape[1:]) for array in arguments))
    row = quick_jit(everything)
    rows = [row(params[0], *(array[index] for array in arguments)) for index in range(6)]
    expected = jax.tree.map(lambda *leaves: np.stack(leaves).reshape(2, 1, 3, *leaves[0].shape), *rows)
    assert_close(grid, expected)


def test_eager_equals_jit(sample):
    params, arguments, expected = sample
    for row in (0, 3):
        eager = everything(*jax.tree.map(jnp.asarray, (params[row], *(array[row] for array in arguments))))
        assert_close(eager, jax.tree.map(lambda leaf, row=row: leaf[row], expected))


def test_what_does_not_fit_is_refused():
    _, params, emissions, labels = case(16)
    emissions, labels, mask = jnp.asarray(emissions), jnp.asarray(labels), jnp.asarray(MASK)
    with pytest.raises(ValueError, match=r"emissions is \(…, T, L\) for params of L=4; got shape \(7, 5, 3\)"):
        crf.log_likelihood(crf.init_crf(4), emissions, labels, mask)
    with pytest.raises(ValueError, match="n is an integer of at least 1; got 0"):
        crf.nbest(params, emissions, mask, 0)
    with pytest.raises(ValueError, match="num_labels is an integer of at least 1; got 0"):
        crf.init_crf(0)
