"""Adaptive softmax against torch's, whose weights it is given; and what torch's has no case for."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from oracles.jitting import counted_programs

from rnn_jax.losses import AdaptiveParams, adaptive_cross_entropy, adaptive_log_probs, cross_entropy, init_adaptive

D, V, CUTOFFS, ROWS = 16, 60, (5, 20), 300
RNG = np.random.default_rng(0)
# Chunks are of 64 rows: tails get none, some, exactly one or two chunks, and more.
LABELS = {
    "zipf": RNG.choice(V, ROWS, p=1 / np.arange(1, V + 1) / (1 / np.arange(1, V + 1)).sum()),
    "uniform": RNG.integers(0, V, ROWS),
    "no_tails": RNG.integers(0, 5, ROWS),
    "first_tail_empty": np.where(RNG.random(ROWS) < 0.5, RNG.integers(0, 5, ROWS), RNG.integers(20, V, ROWS)),
    "all_in_the_first_tail": RNG.integers(5, 20, ROWS),
    "all_in_the_last_tail": RNG.integers(20, V, ROWS),
    "full_chunks": RNG.permutation(np.repeat([0, 7, 30], [ROWS - 192, 64, 128])),
    "one_more_than_chunks": RNG.permutation(np.repeat([0, 7, 30], [ROWS - 194, 65, 129])),
}


def torch_softmax(dtype=torch.float32):
    torch.manual_seed(0)
    return torch.nn.AdaptiveLogSoftmaxWithLoss(D, V, list(CUTOFFS), div_value=4.0, head_bias=True, dtype=dtype)


def of_torch(softmax, read=lambda parameter: parameter.detach()):
    """The params, or what `read` gets of them."""
    array = lambda parameter: jnp.asarray(read(parameter).numpy().astype(np.float32))  # noqa: E731
    tails = [(array(first.weight).T, array(second.weight).T) for first, second in softmax.tail]
    return AdaptiveParams(array(softmax.head.weight).T, array(softmax.head.bias), *zip(*tails, strict=True))


def problem(labels, seed=0):
    rng = np.random.default_rng(seed)
    xs = rng.normal(size=(len(labels), D)).astype(np.float32)
    return xs, labels.astype(np.int32), rng.uniform(0.5, 2, len(labels)).astype(np.float32)


def torch_loss(softmax, xs, labels, weights):
    """The total, and the gradients by params, xs and weights."""
    xs, weights = (torch.tensor(x, dtype=softmax.head.weight.dtype, requires_grad=True) for x in (xs, weights))
    total = -(weights * softmax(xs, torch.tensor(labels, dtype=torch.long)).output).sum()
    total.backward()
    zeros = lambda p: torch.zeros_like(p) if p.grad is None else p.grad  # noqa: E731
    return total.item(), (of_torch(softmax, zeros), xs.grad.numpy(), weights.grad.numpy())


def value_and_gradients(params, xs, labels, weights):
    def loss(params, xs, weights):
        return adaptive_cross_entropy(params, xs, jnp.asarray(labels), weights)

    function = jax.value_and_grad(loss, argnums=(0, 1, 2), has_aux=True)
    (total, weight), gradients = function(params, jnp.asarray(xs), jnp.asarray(weights))
    return float(total), float(weight), gradients


def assert_close(ours, expected, rtol=1e-4, atol=1e-5):
    for one, other in zip(jax.tree.leaves(ours), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(np.asarray(one, np.float32), other, rtol=rtol, atol=atol)


@pytest.mark.parametrize("labels", LABELS.values(), ids=LABELS)
def test_loss_and_gradients_are_torchs(labels):
    softmax = torch_softmax()
    xs, labels, weights = problem(labels)
    expected, gradients = torch_loss(softmax, xs, labels, weights)
    total, weight, ours = value_and_gradients(of_torch(softmax), xs, labels, weights)
    assert total == pytest.approx(expected, rel=1e-5) and weight == pytest.approx(weights.sum(), rel=1e-5)
    assert_close(ours, gradients)
    undifferentiated, _ = adaptive_cross_entropy(of_torch(softmax), *map(jnp.asarray, (xs, labels, weights)))
    assert float(undifferentiated) == pytest.approx(expected, rel=1e-5)


def test_log_probs_are_torchs():
    softmax, (xs, *_) = torch_softmax(), problem(LABELS["zipf"])
    log_probs = adaptive_log_probs(of_torch(softmax), jnp.asarray(xs.reshape(3, 100, D)))
    np.testing.assert_allclose(log_probs.reshape(ROWS, V), softmax.log_prob(torch.tensor(xs)).detach(), atol=1e-5)


@pytest.mark.parametrize("dtype", [np.int8, np.int16])
def test_labels_are_any_integers(dtype):
    softmax, (xs, labels, weights) = torch_softmax(), problem(LABELS["uniform"])
    expected, _ = torch_loss(softmax, xs, labels, weights)
    total, *_ = value_and_gradients(of_torch(softmax), xs, labels.astype(dtype), weights)
    assert total == pytest.approx(expected, rel=1e-5)


def test_gradients_are_scaled_by_what_the_total_is_used_for():
    """d log total = d total / total, in axes of time and batch, and compiled."""
    softmax = torch_softmax()
    xs, labels, weights = problem(LABELS["uniform"])
    expected, (of_params, of_xs, _) = torch_loss(softmax, xs, labels, weights)

    labels, weights = jnp.asarray(labels.reshape(3, 100)), jnp.asarray(weights.reshape(3, 100))

    @jax.jit
    def loss(params, xs):
        return jnp.log(adaptive_cross_entropy(params, xs, labels, weights)[0])

    ours = jax.grad(loss, argnums=(0, 1))(of_torch(softmax), jnp.asarray(xs.reshape(3, 100, D)))
    expected = jax.tree.map(lambda leaf: leaf / expected, (of_params, of_xs.reshape(3, 100, D)))
    assert_close(ours, expected, atol=1e-7)


@pytest.mark.parametrize("junk", [np.nan, np.inf])
def test_rows_of_weight_0_change_nothing_whatever_they_hold(junk):
    softmax = torch_softmax()
    xs, labels, weights = problem(LABELS["uniform"])
    kept = np.arange(ROWS) % 3 != 0
    expected, (of_params, of_xs, _) = torch_loss(softmax, xs[kept], labels[kept], weights[kept])
    xs[~kept], weights[~kept] = junk, 0
    labels[~kept] = np.where(np.arange((~kept).sum()) % 2, -1, 99)
    total, weight, (for_params, for_xs, for_weights) = value_and_gradients(of_torch(softmax), xs, labels, weights)
    assert total == pytest.approx(expected, rel=1e-5) and weight == pytest.approx(weights.sum(), rel=1e-5)
    assert_close((for_params, for_xs[kept]), (of_params, of_xs[kept[kept]]))
    assert not np.any(for_xs[~kept]) and np.isfinite(for_weights).all()


def test_without_any_row_it_is_0():
    params = init_adaptive(jax.random.key(0), D, V, CUTOFFS)
    for xs, labels, weights in (
        (np.zeros((0, 4, D), np.float32), np.zeros((0, 4), np.int32), np.zeros((0, 4), np.float32)),
        (np.full((3, D), np.nan, np.float32), np.array([0, 7, 30], np.int32), np.zeros(3, np.float32)),
    ):
        total, weight, (of_params, of_xs, _) = value_and_gradients(params, xs, labels, weights)
        assert total == weight == 0 and of_xs.shape == xs.shape
        assert not any(np.any(leaf) for leaf in jax.tree.leaves((of_params, of_xs)))


def test_large_logits_do_not_overflow():
    """Logits of about ±10,000, against torch in float64."""
    xs, labels, weights = problem(LABELS["uniform"])
    softmax = torch_softmax(torch.float64)
    expected, gradients = torch_loss(softmax, 1e5 * xs, labels, weights)
    total, _, ours = value_and_gradients(of_torch(softmax), 1e5 * xs, labels, weights)
    assert total == pytest.approx(expected, rel=1e-5)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(ours))
    np.testing.assert_allclose(ours[0].head, gradients[0].head, rtol=1e-3, atol=1e-3 * np.abs(ours[0].head).max())


def test_a_token_that_cannot_be_has_no_probability_and_costs_infinity():
    params = of_torch(torch_softmax())
    params = params._replace(head_bias=params.head_bias.at[2].set(-jnp.inf))
    xs, labels, weights = problem(np.array([0, 7, 30]))
    assert np.all(np.asarray(adaptive_log_probs(params, jnp.asarray(xs)))[:, 2] == -np.inf)
    for labels, infinite in (([0, 7, 30], False), ([2, 7, 30], True)):
        total, _, gradients = value_and_gradients(params, xs, np.int32(labels), weights)
        assert np.isinf(total) == infinite
        assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradients[:2]))


def test_bfloat16_is_summed_in_float32():
    """torch in float32 on the numbers that bfloat16 has for xs and weights: what differs is the hidden rounding."""
    softmax = torch_softmax()
    for parameter in softmax.parameters():
        parameter.data = parameter.data.bfloat16().float()
    xs, labels, weights = problem(LABELS["uniform"])
    xs = jnp.asarray(xs, jnp.bfloat16)
    expected, gradients = torch_loss(softmax, np.asarray(xs, np.float32), labels, weights)
    for dtype in (jnp.float32, jnp.bfloat16):
        params = jax.tree.map(lambda leaf, dtype=dtype: leaf.astype(dtype), of_torch(softmax))
        total, _, ours = value_and_gradients(params, xs, labels, weights)
        assert total == pytest.approx(expected, rel=1e-3)
        assert [leaf.dtype for leaf in jax.tree.leaves(ours[:2])] == [dtype] * 6 + [jnp.bfloat16]
        for one, other in zip(jax.tree.leaves(ours), jax.tree.leaves(gradients), strict=True):
            np.testing.assert_allclose(np.asarray(one, np.float32), other, rtol=0.02, atol=0.01 * np.abs(other).max())
    assert adaptive_log_probs(params, xs).dtype == jnp.float32


def test_one_program_serves_all_labels():
    params = of_torch(torch_softmax())
    loss = jax.jit(jax.value_and_grad(lambda params, *rows: adaptive_cross_entropy(params, *rows)[0]))
    with counted_programs() as programs:
        for labels in LABELS.values():
            loss(params, *map(jnp.asarray, problem(labels)))
    assert programs["<lambda>"] == 1


def test_many_models_at_once():
    xs, labels, weights = map(jnp.asarray, problem(LABELS["zipf"]))
    models = jax.vmap(lambda key: init_adaptive(key, D, V, CUTOFFS))(jax.random.split(jax.random.key(0), 2))
    loss = jax.value_and_grad(lambda params: adaptive_cross_entropy(params, xs, labels, weights)[0])
    totals, gradients = jax.vmap(loss)(models)
    for number in range(2):
        total, gradient = loss(jax.tree.map(lambda leaf, number=number: leaf[number], models))
        assert float(totals[number]) == pytest.approx(float(total), rel=1e-5)
        assert_close(jax.tree.map(lambda leaf, number=number: leaf[number], gradients), gradient)


def test_params_are_drawn_as_described():
    params = init_adaptive(jax.random.key(0), 256, 3000, (100, 1000), factor=4)
    assert params.head.shape == (256, 102) and params.head_bias.shape == (102,)
    assert [leaf.shape for leaf in params.projections] == [(256, 64), (256, 16)]
    assert [leaf.shape for leaf in params.tails] == [(64, 900), (16, 2000)]
    for leaf in (params.head, *params.projections, *params.tails):
        assert np.std(leaf) == pytest.approx(leaf.shape[0] ** -0.5, rel=0.05)
    assert not params.head_bias.any()
    assert init_adaptive(jax.random.key(0), 3, 30, (5, 10), factor=4).tails[1].shape == (1, 20)


def test_without_cutoffs_it_is_the_softmax():
    params = init_adaptive(jax.random.key(0), D, V, ())
    xs, labels, weights = map(jnp.asarray, problem(LABELS["uniform"]))
    expected = cross_entropy(xs @ params.head, labels, weights)
    np.testing.assert_allclose(adaptive_cross_entropy(params, xs, labels, weights), expected, rtol=1e-5)
    np.testing.assert_allclose(adaptive_log_probs(params, xs), jax.nn.log_softmax(xs @ params.head), atol=1e-5)


@pytest.mark.parametrize(
    ("cutoffs", "factor", "said"),
    [
        ((5, 5), 4, r"cutoffs rise from each to the next; got \(5, 5\)"),
        ((9, 5), 4, "cutoffs rise"),
        ((0, 5), 4, r"a cutoff is an integer in 1 … 59 for a vocabulary of 60; got 0\."),
        ((5, V), 4, "a cutoff is an integer in 1 … 59"),
        ((5,), 0, "factor is an integer of at least 1; got 0"),
    ],
)
def test_senseless_sizes_are_refused(cutoffs, factor, said):
    with pytest.raises(ValueError, match=said):
        init_adaptive(jax.random.key(0), D, V, cutoffs, factor)


def test_params_that_do_not_fit_are_refused():
    params = init_adaptive(jax.random.key(0), D, V, CUTOFFS)
    xs, labels, weights = map(jnp.asarray, problem(LABELS["uniform"]))
    wrong = {
        r"xs is \(…, D\) for a head of D=3": params._replace(head=params.head[:3]),
        r"head_bias is \(7,\)": params._replace(head_bias=params.head_bias[:3]),
        "Each projection is": params._replace(projections=params.projections[::-1]),
        "Each projection is .* tail": params._replace(tails=params.tails[:1]),
        "A head has a class for each of 2 tails": params._replace(
            head=params.head[:, :2], head_bias=params.head_bias[:2]
        ),
    }
    for said, broken in wrong.items():
        with pytest.raises(ValueError, match=said):
            adaptive_cross_entropy(broken, xs, labels, weights)
        with pytest.raises(ValueError, match=said):
            adaptive_log_probs(broken, xs)
