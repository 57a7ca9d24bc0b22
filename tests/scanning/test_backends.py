"""Ways of computing one scan: every backend and setting gives the numbers of a Python loop, under every transformation.

The contract (cells/test_contract.py) runs with the default backend; here are the others, what only they promise, and
what they refuse.
"""

import functools
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax.experimental import rnn
from oracles import plain_loop
from oracles.foreign_cells import DecayingSum, FreestandingResidual, ResidualLSTM
from oracles.jitting import environment_of_devices, quick_jit

from rnn_jax import CELLS, LSTM, Backend, Bidirectional, Elman, Recurrent, make_cell, scan_cell
from rnn_jax.cells.contract import splits, start
from rnn_jax.scanning.backend import choose_backend
from rnn_jax.scanning.cudnn import pack_weights, run_cudnn

B, T, D, H = 3, 7, 2, 3
MASK = np.array([[1, 1, 1, 1, 1, 1, 1], [1, 0, 1, 1, 0, 0, 0], [0, 0, 0, 0, 0, 0, 0]], bool)
RESETS = np.array([[0, 0, 1, 0, 0, 1, 0], [0, 1, 0, 0, 0, 0, 0], [0, 0, 0, 1, 0, 0, 0]], bool)
SETTINGS = {
    "plain": "plain",
    "preactivations, 3 steps a chunk": Backend("deferred", save="preactivations", chunk_size=3, project="step"),
    "carries, one step a chunk": Backend("deferred", save="carries", chunk_size=1, project="chunk"),
    "carries, the whole sequence": Backend("deferred", save="carries", chunk_size=100, unroll=2),
    "borders, 4 steps a chunk": Backend("deferred", save="borders", chunk_size=4, project="step"),
    "borders, 7 steps a chunk": Backend("deferred", save="borders", chunk_size=7, project="chunk"),
}
DEFERRABLE = [name for name in CELLS if splits(make_cell(name, H)) and not name.startswith("elman_")]
# See test_contract.py, which runs the others by the default settings, gru_reset_before by the plain scan.
LIKE_ANOTHER = ("lstm_coupled", "lstm_peephole", "lstm_projected", "lstm_layer_norm", "gru_layer_norm", "memoryless")
GRID = [
    pytest.param(name, setting, reverse, joined, marks=[pytest.mark.exhaustive] * (name in LIKE_ANOTHER))
    for name in DEFERRABLE
    for setting in SETTINGS
    for reverse in (False, True)
    for joined in (True, False)
    # Joining steps and batch for the matmuls has nothing to do with the direction, which one cell shows in full; and
    # the plain scan joins nothing.
    if (name == "lstm" and setting != "plain") or joined != reverse
]


@pytest.fixture
def float64():
    with jax.enable_x64(True):
        yield


def random(seed, shape):
    return np.random.default_rng(seed).normal(size=shape)


def random_like(tree, seed, scale=1.0):
    rng = np.random.default_rng(seed)
    return jax.tree.map(lambda leaf: scale * rng.normal(size=leaf.shape), tree)


@functools.cache
def cell_and_params(name):
    cell = make_cell(name, H)
    params = cell.init(jax.random.key(1), D)
    noise = random_like(params, 2, 0.3)
    return cell, jax.tree.map(lambda leaf, extra: np.asarray(leaf, np.float64) + extra, params, noise)


def batch_of_carries(cell, seed):
    return random_like(
        jax.tree.map(lambda leaf: np.zeros((B, *leaf.shape)), start(cell, cell.init(jax.random.key(0), D))), seed, 0.5
    )


def close(actual, expected, tolerance):
    """Relative to the largest number of each array: single numbers can be sums that cancel."""
    assert jax.tree.structure(actual) == jax.tree.structure(expected)
    for a, e in zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, e, rtol=0, atol=tolerance * max(float(np.max(np.abs(e))), 1e-30))


# --- the same numbers -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "setting", "reverse", "joined"), GRID)
def test_equals_a_plain_loop(name, setting, reverse, joined, monkeypatch, float64):
    """Outputs, states, and gradients by params, xs and the first carry, with NaN in the padding and resets."""
    monkeypatch.setattr("rnn_jax.scanning.scan.join_steps", lambda: joined)
    cell, params = cell_and_params(name)
    xs, carry = np.where(MASK[..., None], random(3, (B, T, D)), np.nan), batch_of_carries(cell, 4)
    states = jax.tree.map(lambda leaf: np.zeros((B, T, *leaf.shape[1:])), carry)
    cotangents = random_like((carry, np.zeros((B, T, H)), states), 5)

    def run(params, xs, carry):
        return scan_cell(
            cell,
            params,
            xs,
            mask=jnp.asarray(MASK),
            resets=jnp.asarray(RESETS),
            carry=carry,
            reverse=reverse,
            return_states=True,
            backend=SETTINGS[setting],
        )

    @quick_jit
    def run_and_pull_back(params, xs, carry, cotangents):
        out, vjp = jax.vjp(run, params, xs, carry)
        return plain_loop.Result(*out, *vjp(cotangents))

    actual = run_and_pull_back(params, xs, carry, cotangents)
    expected = plain_loop.run_batch(cell, params, np.nan_to_num(xs), carry, MASK, RESETS, cotangents, reverse=reverse)
    close(actual, expected, 1e-12)


def loss_of(cell, backend, mask=None):
    weights = jnp.asarray(random(6, (H,)), jnp.float32)

    def loss(params, xs):
        mask_here = None if mask is None else jnp.asarray(mask)
        ys = scan_cell(cell, params, jnp.asarray(xs), mask=mask_here, backend=backend)[1]
        weighted = ys * jnp.broadcast_to(weights, ys.shape).astype(ys.dtype)
        return jnp.sum(weighted.astype(jnp.float64 if ys.dtype == jnp.float64 else jnp.float32) ** 2)

    return loss


def float32(name, time=T):
    cell, params = cell_and_params(name)
    params = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float32), params)
    return cell, params, jnp.asarray(random(7, (B, time, D)), jnp.float32)


@pytest.mark.parametrize("name", ["elman", "lstm", "gru"])
def test_float32_gradient_is_that_of_the_plain_scan_to_1e_6(name):
    cell, params, xs = float32(name)
    plain, deferred = (
        quick_jit(jax.grad(loss_of(cell, backend), argnums=(0, 1)))(params, xs) for backend in ("plain", "deferred")
    )
    close(deferred, plain, 1e-6)


@pytest.mark.parametrize("name", DEFERRABLE)
def test_bfloat16_gradient_is_near_the_float32_one(name):
    """To 3 %: bfloat16 has 8 bits."""
    cell, params, xs = float32(name)
    exact = quick_jit(jax.grad(loss_of(cell, "plain")))(params, xs)
    rounded = quick_jit(jax.grad(loss_of(cell, "deferred")))(params, xs.astype(jnp.bfloat16))
    assert {leaf.dtype for leaf in jax.tree.leaves(rounded)} == {jnp.dtype("float32")}
    close(rounded, exact, 0.03)


@pytest.mark.parametrize("name", [name for name in DEFERRABLE if name != "memoryless"])
def test_biases_derivatives_are_not_summed_in_bfloat16(name):
    """In the program itself: on some devices the compiler sums bfloat16 in float32 anyway."""
    cell, params, xs = float32(name)
    jaxpr = jax.make_jaxpr(jax.grad(loss_of(cell, "deferred")))(params, xs.astype(jnp.bfloat16))
    sums = [e for e in equations_of(jaxpr.jaxpr) if e.primitive.name == "reduce_sum"]
    assert sums and all(e.outvars[0].aval.dtype != jnp.bfloat16 for e in sums)


# --- transformations --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["lstm", *(pytest.param(name, marks=pytest.mark.exhaustive) for name in ("elman", "gru"))]
)
@pytest.mark.parametrize("setting", ["preactivations, 3 steps a chunk", "borders, 4 steps a chunk"])
def test_hessian_vector_products_equal_the_plain_scans(name, setting, float64):
    """Forward over reverse, and reverse over reverse."""
    cell, params = cell_and_params(name)
    xs, direction = random(7, (B, T, D)), random_like(params, 8)

    forward = forward_over_reverse(cell, SETTINGS[setting], params, xs, direction)
    gradient = jax.grad(loss_of(cell, SETTINGS[setting], MASK))
    along = lambda p: sum(jnp.vdot(a, b) for a, b in zip(gradient(p, xs), direction, strict=True))  # noqa: E731
    close(forward, quick_jit(jax.grad(along))(params), 1e-10)
    close(forward, forward_over_reverse(cell, "plain", params, xs, direction), 1e-10)


@functools.partial(quick_jit, static_argnums=(0, 1))
def forward_over_reverse(cell, backend, params, xs, direction):
    gradient = jax.grad(loss_of(cell, backend, MASK))
    return jax.jvp(lambda p: gradient(p, xs), (params,), (direction,))[1]


@functools.partial(quick_jit, static_argnums=0)
def plain_gradient(cell, params, xs, mask, weights):
    def loss(params):
        return jnp.sum((scan_cell(cell, params, xs, mask=mask, backend="plain")[1] @ weights) ** 2)

    return jax.grad(loss)(params)


@pytest.mark.parametrize("name", ["lstm", pytest.param("gru", marks=pytest.mark.exhaustive)])
@pytest.mark.parametrize(
    "setting", ["preactivations, 3 steps a chunk", "carries, the whole sequence", "borders, 4 steps a chunk"]
)
@pytest.mark.parametrize(
    "transform",
    ["vmap(grad)", "vmap(grad) of sequences", "grad(vmap)", "vmap over params", "remat", "batch of batches"],
)
def test_transformations_equal_the_plain_scan_of_each_row(name, setting, transform, float64):
    """Rows of unequal length; the plain scan runs in a Python loop, without the transformation."""
    cell, params = cell_and_params(name)
    xs, mask, weights = random(7, (B, T, D)), np.arange(T) < np.array([[T], [4], [1]]), random(6, (H,))

    def loss(params, xs, mask):
        ys = scan_cell(cell, params, jnp.asarray(xs), mask=jnp.asarray(mask), backend=SETTINGS[setting])[1]
        return jnp.sum((ys @ weights) ** 2)

    def rows(params, xs):
        return [plain_gradient(cell, params, xs[i], mask[i], weights) for i in range(B)]

    stacked = lambda trees: jax.tree.map(lambda *leaves: np.stack(leaves), *trees)  # noqa: E731
    total = lambda trees: jax.tree.map(lambda *leaves: sum(leaves), *trees)  # noqa: E731
    gradient = jax.grad(loss)
    if transform == "vmap(grad)":
        actual = quick_jit(jax.vmap(gradient, in_axes=(None, 0, 0)))(params, xs[:, None], mask[:, None])
        close(actual, stacked(rows(params, xs)), 1e-12)
    elif transform == "vmap(grad) of sequences":
        actual = quick_jit(jax.vmap(gradient, in_axes=(None, 0, 0)))(params, xs, mask)
        close(actual, stacked(rows(params, xs)), 1e-12)
    elif transform == "grad(vmap)":
        of_rows = lambda p: jnp.sum(jax.vmap(loss, in_axes=(None, 0, 0))(p, xs, mask))  # noqa: E731
        close(quick_jit(jax.grad(of_rows))(params), total(rows(params, xs)), 1e-12)
    elif transform == "vmap over params":
        members = [params, jax.tree.map(lambda leaf: 0.5 - leaf, params)]
        actual = quick_jit(jax.vmap(gradient, in_axes=(0, None, None)))(stacked(members), xs, mask)
        close(actual, stacked([total(rows(member, xs)) for member in members]), 1e-12)
    elif transform == "remat":
        close(quick_jit(jax.grad(jax.checkpoint(loss)))(params, xs, mask), total(rows(params, xs)), 1e-12)
    else:
        batches = random(9, (2, B, T, D))
        actual = quick_jit(jax.vmap(gradient, in_axes=(None, 0, None)))(params, batches, mask)
        close(actual, stacked([total(rows(params, batch)) for batch in batches]), 1e-12)


EIGHT_DEVICES = """
import jax, jax.numpy as jnp, numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from rnn_jax import LSTM, Bidirectional, Stack
assert jax.device_count() == 8
layer = Stack(Bidirectional(LSTM(5)), LSTM(4))
params = layer.init(jax.random.key(0), 3)
xs = np.random.default_rng(0).normal(size=(16, 9, 3)).astype(np.float32)
mask = np.arange(9) < np.random.default_rng(1).integers(0, 10, size=16)[:, None]
gradient = jax.jit(jax.grad(lambda p, xs, mask: jnp.sum(layer.apply(p, xs, mask=mask).ys ** 2), argnums=(0, 1)))
alone = gradient(params, xs, mask)
mesh = Mesh(np.asarray(jax.devices()), ("data",))
put = lambda tree, *axes: jax.device_put(tree, NamedSharding(mesh, PartitionSpec(*axes)))
spread = gradient(put(params), put(xs, "data"), put(mask, "data"))
assert spread[1].sharding.spec == PartitionSpec("data"), spread[1].sharding
# Each device computes its rows: what they exchange is sums of the weights' gradients, not rows.
program = gradient.lower(put(params), put(xs, "data"), put(mask, "data")).compile().as_text()
assert "all-reduce" in program and "all-gather" not in program and "all-to-all" not in program
for a, b in zip(jax.tree.leaves(spread), jax.tree.leaves(alone)):
    np.testing.assert_allclose(a, b, rtol=0, atol=1e-5 * float(np.abs(b).max()))
"""


def test_eight_devices_give_the_gradient_of_one():
    environment = environment_of_devices(8)
    result = subprocess.run([sys.executable, "-c", EIGHT_DEVICES], env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr[-2000:]


# --- what is promised of each -----------------------------------------------------------------------------------------


def matmuls_in_loops(backend):
    """The shapes of all matmuls inside of the innermost loops of the gradient, which are those over single steps.

    The batch is none of H, so that (B, 4H) is no shape of the weights.
    """
    cell = LSTM(H)
    params = cell.init(jax.random.key(0), D)
    mask = np.arange(64) < np.array([[64], [40], [3], [1], [0]])
    jaxpr = jax.make_jaxpr(jax.grad(loss_of(cell, backend, mask)))(params, jnp.ones((5, 64, D)))
    return [
        equation.outvars[0].aval.shape
        for loop in innermost_loops(jaxpr.jaxpr)
        for equation in equations_of(loop)
        if equation.primitive.name == "dot_general"
    ]


def inner_jaxprs(equation):
    for value in jax.tree.leaves(list(equation.params.values()), is_leaf=lambda v: hasattr(v, "jaxpr")):
        inner = getattr(value, "jaxpr", value)
        if hasattr(inner, "eqns"):
            yield inner


def equations_of(jaxpr):
    """All of them, those of called functions too."""
    for equation in jaxpr.eqns:
        yield equation
        for inner in inner_jaxprs(equation):
            yield from equations_of(inner)


def innermost_loops(jaxpr):
    """The bodies of the `lax.scan`s that hold no other one."""
    bodies = [inner for e in equations_of(jaxpr) if e.primitive.name == "scan" for inner in inner_jaxprs(e)]
    return [body for body in bodies if all(e.primitive.name != "scan" for e in equations_of(body))]


def test_weight_gradients_are_outside_of_the_loop_over_steps():
    of_weights = {(H, 4 * H), (4 * H, H)}
    assert of_weights & set(matmuls_in_loops("plain"))
    deferred = matmuls_in_loops(Backend("deferred", chunk_size=16))
    assert not of_weights & set(deferred)
    assert (5, H) in deferred  # the carry's derivative, by W_h transposed


def temporaries(apply, params):
    """Bytes beside inputs and outputs that the gradient at B = 8, T = 2048, D = H = 64 takes."""
    loss = lambda params, xs: jnp.sum(apply(params, xs))  # noqa: E731
    compiled = jax.jit(jax.grad(loss, argnums=(0, 1))).lower(params, jnp.zeros((8, 2048, 64))).compile()
    return compiled.memory_analysis().temp_size_in_bytes


def test_saving_less_takes_less_memory():
    """Each setting less than the one before it, and the least a third of what flax's LSTM takes."""
    cell, start = LSTM(64), (jnp.zeros((8, 64)), jnp.zeros((8, 64)))
    graph, weights, rest = nnx.split(nnx.RNN(nnx.LSTMCell(64, 64, rngs=nnx.Rngs(0))), nnx.Param, ...)
    flax = temporaries(lambda weights, xs: nnx.merge(graph, weights, rest)(xs, initial_carry=start), weights)
    params = cell.init(jax.random.key(0), 64)

    def ours(save):
        backend = Backend("deferred", save=save)
        return temporaries(lambda params, xs: scan_cell(cell, params, xs, backend=backend)[1], params)

    preactivations, carries, borders = map(ours, ("preactivations", "carries", "borders"))
    assert borders < 0.5 * carries < 0.5 * preactivations < 0.5 * flax
    assert borders < flax / 3


def test_forward_mode_is_for_the_plain_scan():
    """The other one refuses, and the note below JAX's own words says what to do."""
    cell, params, xs = float32("lstm")
    with pytest.raises(TypeError) as caught:
        jax.jacfwd(loss_of(cell, "auto"))(params, xs)
    assert 'backend="plain"' in " ".join(caught.value.__notes__)
    forward, backward = jax.jacfwd(loss_of(cell, "plain"))(params, xs), jax.grad(loss_of(cell, "auto"))(params, xs)
    close(forward, backward, 1e-5)


def test_cells_without_the_split_take_the_plain_scan():
    cell, params, xs = float32("lstm")
    assert choose_backend("auto", cell, params, xs).name == "deferred"
    assert choose_backend("auto", cell, params, xs[:, :1]).name == "plain"  # nothing to defer
    old, old_params, _ = float32("gru_reset_before")
    assert choose_backend("auto", old, old_params, xs).name == "plain"  # faster, but not the only way
    assert choose_backend(Backend(save="borders"), old, old_params, xs).name == "deferred"
    user = DecayingSum(H)
    assert choose_backend("auto", user, user.init(jax.random.key(0), D), xs).name == "plain"
    with pytest.raises(ValueError, match="DecayingSum is no SplitCell"):
        scan_cell(user, user.init(jax.random.key(0), D), xs, backend="deferred")
    assert choose_backend("deferred", cell, params, xs[:, :0]).name == "plain"  # nothing to compute


class OptedIn(FreestandingResidual):
    """Says so itself, with a step that is its parts."""

    splits = True

    def step(self, params, carry, x):
        return self.activate(params, carry, self.preactivate(params, carry, self.project(params, x)))


class Louder(LSTM):
    """A subclass that changes a part of the split keeps it."""

    def activate(self, params, carry, preactivations):
        carry, y = super().activate(params, carry, preactivations)
        return carry, 2 * y


class ResidualWithItsOwnParts(ResidualLSTM):
    """Overrides the parts below a `step` that is not made of them alone."""

    def preactivate(self, params, carry, z):
        return 0.5 * super().preactivate(params, carry, z)

    def activate(self, params, carry, preactivations):
        return super().activate(params, carry, preactivations)


class CountingElman(Elman):
    """The split, and an integer in the carry."""

    def initial_carry(self, params):
        return super().initial_carry(params), jnp.zeros((), jnp.int32)

    def preactivate(self, params, carry, z):
        return super().preactivate(params, carry[0], z)

    def activate(self, params, carry, preactivations):
        after, y = super().activate(params, carry[0], preactivations)
        return (after, carry[1] + 1), y


@pytest.mark.parametrize(
    ("kind", "backend"),
    [
        (ResidualLSTM, "plain"),
        (FreestandingResidual, "plain"),
        (OptedIn, "deferred"),
        (ResidualWithItsOwnParts, "plain"),
        (Louder, "deferred"),
        (CountingElman, "plain"),
    ],
)
def test_subclasses_get_the_gradient_of_what_they_compute(kind, backend):
    """Against the plain scan of the rows one by one."""
    cell = kind(D)
    params, xs = cell.init(jax.random.key(0), D), jnp.asarray(random(7, (B, T, D)), jnp.float32)
    assert choose_backend("auto", cell, params, xs).name == backend

    def loss(params, xs, backend="auto"):
        return jnp.sum(scan_cell(cell, params, xs, backend=backend)[1] ** 2)

    rows = [jax.grad(loss)(params, row, "plain") for row in xs]
    close(jax.grad(loss)(params, xs), jax.tree.map(lambda *leaves: sum(leaves), *rows), 1e-5)
    ys = jnp.stack([scan_cell(cell, params, row, backend="plain")[1] for row in xs])
    close(scan_cell(cell, params, xs)[1], ys, 1e-5)


def test_settings_that_would_be_ignored_are_refused():
    cell, params, xs = float32("lstm")
    other = DecayingSum(H)
    with pytest.raises(ValueError, match="save would be ignored: DecayingSum is no SplitCell"):
        scan_cell(other, other.init(jax.random.key(0), D), xs, backend=Backend(save="borders"))
    with pytest.raises(ValueError, match=r"chunk_size would be ignored: the backend is plain"):
        scan_cell(cell, params, xs, backend=Backend("plain", chunk_size=3))
    with pytest.raises(ValueError, match=r"project, unroll would be ignored: the backend is cudnn"):
        scan_cell(cell, params, xs, backend=Backend("cudnn", project="step", unroll=2))


@pytest.mark.parametrize("shape", [(0, T, D), (B, 0, D)])
def test_empty_batches_are_no_error_whatever_is_saved(shape):
    cell, params, _ = float32("lstm")
    carry, ys = scan_cell(cell, params, jnp.zeros(shape), backend=Backend(save="borders"))
    assert ys.shape == (*shape[:2], H) and carry.h.shape == (shape[0], H)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"name": "fast"}, "auto, plain, deferred, cudnn"),
        ({"save": "everything"}, "preactivations, carries, borders"),
        ({"chunk_size": 0}, "chunk_size is an integer of at least 1; got 0"),
        ({"unroll": -1}, "unroll is an integer of at least 1; got -1"),
    ],
)
def test_settings_are_checked(settings, message):
    with pytest.raises(ValueError, match=message):
        Backend(**settings)


def test_layers_pass_their_backend_on():
    """Forward mode goes through layers whose backend is plain, and only through those."""
    params = Bidirectional(LSTM(H)).init(jax.random.key(0), D)
    for layer, p in (
        (Recurrent(LSTM(H), backend="plain"), params.forward),
        (Bidirectional(LSTM(H), backend="plain"), params),
    ):
        jax.jacfwd(lambda p, layer=layer: layer.apply(p, jnp.ones((1, 2, D)))[1])(p)
    with pytest.raises(TypeError, match='backend="plain"'):
        jax.jacfwd(lambda p: Bidirectional(LSTM(H)).apply(p, jnp.ones((1, 2, D)))[1])(params)


# --- cuDNN ------------------------------------------------------------------------------------------------------------


def reference_lstm(x, h_0, c_0, weights, seq_lengths, *, precision, **sizes):
    """JAX's own LSTM in plain operations, behind the signature of the cuDNN one."""
    del precision
    shape = {name: sizes[name] for name in ("input_size", "hidden_size", "num_layers", "bidirectional")}
    return rnn.lstm_ref(x, h_0, c_0, *rnn.unpack_lstm_weights(weights, **shape), seq_lengths=seq_lengths, **sizes)


@pytest.mark.lenient_promotion
@pytest.mark.parametrize("reverse", [False, True], ids=["forward", "reverse"])
def test_weights_packed_for_cudnn_are_the_same_lstm(reverse):
    cell, params, xs = float32("lstm")
    carry = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float32), batch_of_carries(cell, 4))
    assert pack_weights(params).shape == (4 * H * (D + H + 2),)
    actual = run_cudnn(params, xs, carry, reverse=reverse, lstm=reference_lstm)
    close(actual, scan_cell(cell, params, xs, carry=carry, reverse=reverse), 1e-5)


def test_cudnn_says_what_it_cannot_do():
    cell, params, xs = float32("lstm")
    with pytest.raises(ValueError, match=r"there are masks or resets, the device is cpu"):
        scan_cell(cell, params, xs, mask=jnp.asarray(MASK), backend="cudnn")
    cell, params, xs = float32("gru")
    with pytest.raises(ValueError, match=r"the cell is GRU\(hidden_size=3"):
        scan_cell(cell, params, xs, backend="cudnn")
