"""Our layers as Flax NNX modules: under every transform, inside other people's modules, and equal to the functions."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx
from oracles.jitting import quick_jit

from rnn_jax import GRU, LSTM, Bidirectional, Recurrent, Stack
from rnn_jax.modules import RNN, Embedding, Linear, NGramConvolution, Pooling

B, T, D, H = 3, 5, 2, 4
MASK = jnp.asarray([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0], [0, 0, 0, 0, 0]], bool)
XS = jnp.asarray(np.random.default_rng(0).normal(size=(B, T, D)), jnp.float32)
KEY = jax.random.key(0)

close = functools.partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-6)


@quick_jit
def call(module, *arguments, **options):
    """A module is a pytree, so that `jax.jit` takes it as it is."""
    return module(*arguments, **options)


def as_layer_params(model, state):
    """The arrays of a state of the model (its params or their gradients) in the layer's own form."""
    return nnx.merge(nnx.split(model)[0], state).layer_params()


def loss_of(model, xs, mask):
    return jnp.sum(jnp.square(model(xs, mask=mask)))


@pytest.fixture(scope="module")
def model():
    return RNN(Stack(Bidirectional(GRU(H)), LSTM(3)), input_size=D, rngs=nnx.Rngs(0))


@pytest.fixture(scope="module")
def functional(model):
    """Outputs and gradients of the layer itself, on the module's params: what every transform must give."""
    params = model.layer_params()

    def loss(params):
        ys = model.layer.apply(params, XS, mask=MASK)[1]
        return jnp.sum(jnp.square(ys)), ys

    (_, ys), gradients = quick_jit(jax.value_and_grad(loss, has_aux=True))(jax.tree.map(jnp.asarray, params))
    return np.asarray(ys), gradients


# --- RNN --------------------------------------------------------------------------------------------------------------


def test_rnn_calls_its_layer(model, functional):
    close(call(model, XS, mask=MASK), functional[0])
    assert model.output_size == 3 and not functional[0][2].any()


def test_rnn_under_nnx_jit(model, functional):
    close(nnx.jit(lambda model, xs, mask: model(xs, mask=mask))(model, XS, MASK), functional[0])


def test_rnn_under_jax_jit_of_split_state(model, functional):
    """No carry passed by hand, no state that must come back out."""
    graph, state = nnx.split(model)
    close(quick_jit(lambda state, xs, mask: nnx.merge(graph, state)(xs, mask=mask))(state, XS, MASK), functional[0])


def test_rnn_under_jax_grad(model, functional):
    graph, state = nnx.split(model)
    gradients = quick_jit(jax.grad(lambda state, *args: loss_of(nnx.merge(graph, state), *args)))(state, XS, MASK)
    jax.tree.map(close, as_layer_params(model, gradients), functional[1])


def test_rnn_under_nnx_grad(model, functional):
    gradients = nnx.jit(nnx.grad(loss_of))(model, XS, MASK)
    jax.tree.map(close, as_layer_params(model, gradients), functional[1])


def test_rnn_under_vmap_over_examples(model, functional):
    """Also of gradients: each example its own, and they add up to the batch's."""
    graph, state = nnx.split(model)

    def one(state, xs, mask):
        return jax.grad(lambda state: loss_of(nnx.merge(graph, state), xs, mask))(state), nnx.merge(graph, state)(
            xs, mask=mask
        )

    gradients, ys = quick_jit(jax.vmap(one, in_axes=(None, 0, 0)))(state, XS, MASK)
    close(ys, functional[0])
    each = as_layer_params(model, gradients)
    jax.tree.map(lambda each, total: close(each.sum(axis=0), total), each, functional[1])
    assert not any(np.any(leaf[2]) for leaf in jax.tree.leaves(gradients))  # the empty row


def test_rnn_under_vmap_over_seeds():
    """An ensemble: modules made and run under vmap equal modules one by one."""

    def make_and_run(key):
        return RNN(LSTM(H), D, rngs=nnx.Rngs(key))(XS, mask=MASK)

    keys = jax.random.split(KEY, 2)
    close(quick_jit(jax.vmap(make_and_run))(keys), [quick_jit(make_and_run)(key) for key in keys])


def test_no_random_state_among_the_variables():
    """With every kind of dropout set: only params, so that grad, vmap and checkpoints see nothing else."""
    layer = Stack(Recurrent(LSTM(H), recurrent_dropout=0.5), GRU(H), dropout=0.5, input_dropout=0.5)
    model = RNN(layer, D, rngs=nnx.Rngs(0))
    variables = jax.tree.leaves(nnx.state(model), is_leaf=lambda leaf: isinstance(leaf, nnx.Variable))
    assert variables and all(type(variable) is nnx.Param for variable in variables)
    for module in (Embedding(5, 2, dropout=0.5, rngs=nnx.Rngs(0)), Pooling("attention", 2, rngs=nnx.Rngs(0))):
        assert jax.tree.structure(nnx.state(module)) == jax.tree.structure(nnx.state(module, nnx.Param))


def test_dropout_only_with_a_key(model):
    dropping = RNN(Stack(LSTM(H), LSTM(H), dropout=0.5), D, rngs=nnx.Rngs(0))
    run = quick_jit(lambda key: dropping(XS, key=key))
    still, dropped, again = (run(key) for key in (None, KEY, KEY))
    close(still, quick_jit(lambda params: Stack(LSTM(H), LSTM(H)).apply(params, XS)[1])(dropping.layer_params()))
    np.testing.assert_array_equal(dropped, again)
    assert not np.allclose(still, dropped)


@pytest.fixture(scope="module")
def dropping():
    return RNN(Stack(LSTM(H), LSTM(H), dropout=0.5), D, rngs=nnx.Rngs(0))


def test_rngs_are_as_good_as_a_key(dropping):
    """An nnx.Rngs with a stream `dropout`, the stream, or a key, as nnx.Dropout takes them; each call draws anew."""
    first = call(dropping, XS, key=nnx.Rngs(dropout=0).dropout())
    run = nnx.jit(lambda model, xs, rngs: model(xs, rngs=rngs))
    for rngs in (nnx.Rngs(dropout=0), nnx.Rngs(dropout=0).dropout):
        close(run(dropping, XS, rngs), first)
        assert not np.allclose(run(dropping, XS, rngs), first)
    close(run(dropping, XS, KEY), call(dropping, XS, key=KEY))


def test_deterministic_wins_over_randomness_and_a_call_over_the_mode(dropping):
    model = nnx.clone(dropping)
    still, dropped = call(model, XS), call(model, XS, key=KEY)
    rngs = nnx.Rngs(dropout=0)
    model.eval()
    close(call(model, XS, key=KEY), still)
    close(model(XS, rngs=rngs), still)
    assert rngs.dropout.count.get_value() == 0  # nothing drawn
    close(quick_jit(lambda model: model(XS, key=KEY, deterministic=False))(model), dropped)
    model.train()
    close(call(model, XS, key=KEY), dropped)
    close(quick_jit(lambda model: model(XS, key=KEY, deterministic=True))(model), still)


def test_key_and_rngs_together_are_refused(dropping):
    with pytest.raises(ValueError, match="Give dropout its randomness as key or as rngs, not both."):
        dropping(XS, key=KEY, rngs=nnx.Rngs(dropout=0))


def test_kept_rngs_drop_without_being_asked_and_are_no_params():
    model = RNN(Stack(LSTM(H), LSTM(H), dropout=0.5), D, keep_rngs=True, rngs=nnx.Rngs(0))
    once, again = model(XS), model(XS)
    assert not np.allclose(once, again)
    close(model(XS, key=KEY), model(XS, key=KEY))
    model.eval()
    np.testing.assert_array_equal(model(XS), model(XS))
    assert len(jax.tree.leaves(nnx.state(model, nnx.Param))) == len(jax.tree.leaves(model.layer_params()))


def test_rnn_takes_a_cell_and_continues_from_a_carry():
    model = RNN(GRU(H), D, rngs=nnx.Rngs(0))
    assert model.layer == Recurrent(GRU(H))
    run = quick_jit(lambda model, xs, carry: model.apply(xs, carry=carry))
    whole, first = run(model, XS, None), run(model, XS[:, :2], None)
    second = run(model, XS[:, 2:], first.carry)
    close(second.ys, whole.ys[:, 2:])
    close(second.carry.h, whole.last)


# --- Linen and back ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def linen(model):
    """The model as a Linen module, and its params as Linen's variables."""
    return nnx.bridge.to_linen(RNN, model.layer, input_size=D), {"params": nnx.to_pure_dict(nnx.state(model))}


def test_linen_module_has_the_params_of_ours(linen):
    module, variables = linen
    fresh = module.init(KEY, XS, mask=MASK)
    assert jax.tree.map(jnp.shape, fresh) == jax.tree.map(jnp.shape, variables)


def test_linen_module_computes_what_ours_does(model, linen, functional):
    """Outputs and gradients, under jit and with a mask, of the same params."""
    module, variables = linen

    def loss(variables):
        ys = module.apply(variables, XS, mask=MASK)
        return jnp.sum(jnp.square(ys)), ys

    (_, ys), gradients = quick_jit(jax.value_and_grad(loss, has_aux=True))(variables)
    close(ys, functional[0])
    theirs = nnx.to_pure_dict(nnx.state(model))
    names = [path for path, _ in jax.tree_util.tree_leaves_with_path(theirs)]
    assert names == [path for path, _ in jax.tree_util.tree_leaves_with_path(gradients["params"])]
    nnx.replace_by_pure_dict(state := nnx.state(model), gradients["params"])
    jax.tree.map(close, as_layer_params(model, state), functional[1])


def test_linen_rngs_drop_if_kept_and_a_key_in_any_case(dropping):
    variables = {"params": nnx.to_pure_dict(nnx.state(dropping))}
    keyed = nnx.bridge.to_linen(RNN, dropping.layer, input_size=D)
    close(keyed.apply(variables, XS, rngs={"dropout": KEY}), call(dropping, XS))
    close(keyed.apply(variables, XS, key=KEY), call(dropping, XS, key=KEY))
    kept = nnx.bridge.to_linen(RNN, dropping.layer, input_size=D, keep_rngs=True)
    fresh = kept.init({"params": KEY, "dropout": KEY}, XS)
    assert jax.tree.structure(fresh) == jax.tree.structure(variables)
    one, same, other = (kept.apply(variables, XS, rngs={"dropout": jax.random.key(seed)}) for seed in (0, 0, 1))
    np.testing.assert_array_equal(one, same)
    assert not np.allclose(one, other)
    close(kept.apply(variables, XS, rngs={"dropout": KEY}, deterministic=True), call(dropping, XS))


def test_back_from_linen(linen, functional):
    module, variables = linen
    back = nnx.bridge.ToNNX(module, rngs=nnx.Rngs(0)).lazy_init(XS, mask=MASK)
    state = nnx.state(back, nnx.Param)
    nnx.replace_by_pure_dict(state, variables["params"])
    nnx.update(back, state)
    close(back(XS, mask=MASK), functional[0])


class Classifier(nnx.Module):
    """Someone else's model, with our modules as layers among Flax's."""

    def __init__(self, rngs):
        self.embedding = Embedding(6, D, scale=1.0, rngs=rngs)
        self.rnn = RNN(Bidirectional(LSTM(H)), input_size=D, rngs=rngs)
        self.norm = nnx.LayerNorm(2 * H, rngs=rngs)
        self.pooling = Pooling("attention", 2 * H, rngs=rngs)
        self.head = nnx.Linear(2 * H, 2, rngs=rngs)

    def __call__(self, tokens, mask):
        output = self.rnn.apply(self.embedding(tokens), mask=mask)
        return self.head(self.norm(self.pooling(output, mask)))


@pytest.mark.lenient_promotion
def test_training_inside_another_module_lowers_the_loss():
    model = Classifier(nnx.Rngs(0))
    optimizer = nnx.Optimizer(model, optax.sgd(0.1, momentum=0.9), wrt=nnx.Param)
    tokens, labels = jnp.asarray([[1, 2, 3], [3, 2, 1], [4, 5, 0], [0, 0, 0]]), jnp.asarray([0, 1, 0, 1])
    mask = tokens > 0
    before = jax.tree.map(np.asarray, model.rnn.layer_params())

    @nnx.jit
    def train_step(model, optimizer):
        def loss(model):
            return optax.softmax_cross_entropy_with_integer_labels(model(tokens, mask), labels).mean()

        value, gradients = nnx.value_and_grad(loss)(model)
        optimizer.update(model, gradients)
        return value

    losses = [float(train_step(model, optimizer)) for _ in range(3)]
    assert losses[0] > losses[1] > losses[2]
    after = model.rnn.layer_params()
    assert all(np.all(a != b) for a, b in zip(jax.tree.leaves(before), jax.tree.leaves(after), strict=True))


# --- Embedding and Linear ---------------------------------------------------------------------------------------------


def test_embedding_looks_rows_up():
    embedding = Embedding(7, 3, rngs=nnx.Rngs(0))
    table = np.asarray(embedding.table.get_value())
    tokens = np.array([[0, 6, 2], [2, 2, 1]])
    np.testing.assert_array_equal(call(embedding, tokens), table[tokens])
    assert np.std(Embedding(1000, 30, scale=0.2, rngs=nnx.Rngs(0)).table.get_value()) == pytest.approx(0.2, rel=0.02)


def test_embedding_dropout_misses_a_word_wherever_it_occurs():
    embedding = Embedding(50, 3, dropout=0.5, rngs=nnx.Rngs(0))
    tokens = np.tile(np.arange(50), (2, 1))
    rows, undropped = (np.asarray(call(embedding, tokens, key=key)) for key in (KEY, None))
    missing = (rows == 0).all(axis=-1)
    assert 10 < missing[0].sum() < 40 and (missing[0] == missing[1]).all()
    close(rows[~missing], 2 * undropped[~missing])
    assert undropped.all()


def test_embedding_drops_by_rngs_and_not_in_eval_mode():
    embedding = Embedding(50, 3, dropout=0.5, rngs=nnx.Rngs(0))
    tokens = jnp.arange(50)
    dropped = embedding(tokens, rngs=nnx.Rngs(dropout=0))
    np.testing.assert_array_equal(dropped, embedding(tokens, key=nnx.Rngs(dropout=0).dropout()))
    assert not np.all(dropped)
    embedding.eval()
    np.testing.assert_array_equal(embedding(tokens, key=KEY), embedding(tokens))


def test_linear_is_affine_in_the_inputs_dtype():
    linear = Linear(D, 3, rngs=nnx.Rngs(0))
    linear.b.set_value(jnp.asarray([1.0, 2, 3]))
    expected = np.einsum("btd,df->btf", XS, linear.w.get_value()) + np.array([1, 2, 3])
    close(call(linear, XS), expected)
    assert jax.eval_shape(linear, XS.astype(jnp.bfloat16)).dtype == jnp.bfloat16
    w = np.abs(Linear(40, 60, rngs=nnx.Rngs(0)).w.get_value())
    assert 0.98 * np.sqrt(6 / 100) < w.max() <= np.sqrt(6 / 100)  # Glorot


# --- NGramConvolution -------------------------------------------------------------------------------------------------


def convolution_by_loops(xs, mask, w, b, width):
    """relu(Σ_k x_{t+k} W_k + b), k from −⌊(w−1)/2⌋ to ⌊w/2⌋; steps outside the sequence or masked count as zeros."""
    blocks = np.split(w, width)
    ys = np.zeros((*xs.shape[:2], w.shape[1]))
    for row in range(xs.shape[0]):
        for t in range(xs.shape[1]):
            total = b.copy()
            for index, k in enumerate(range(-((width - 1) // 2), width // 2 + 1)):
                if 0 <= t + k < xs.shape[1] and mask[row, t + k]:
                    total = total + xs[row, t + k] @ blocks[index]
            ys[row, t] = np.maximum(total, 0)
    return ys


@pytest.mark.parametrize("width", [1, 2, 3, 4])
def test_convolution_equals_numpy(width):
    module = NGramConvolution(D, 6, width, rngs=nnx.Rngs(0))
    module.b.set_value(jnp.linspace(-1, 1, 6))
    expected = convolution_by_loops(*map(np.asarray, (XS, MASK, module.w.get_value(), module.b.get_value())), width)
    close(call(module, XS, mask=MASK), expected)
    assert expected.any() and (expected == 0).any()


def test_convolution_of_three_equals_numpy_convolve():
    """One feature in and out: `numpy.convolve` turns the kernel around."""
    module = NGramConvolution(1, 1, 3, rngs=nnx.Rngs(0))
    module.w.set_value(jnp.asarray([[1.0], [2], [3]]))
    xs = np.array([1.0, 0, 2, 5], np.float32)
    ys = call(module, xs[:, None], mask=np.ones(4, bool))
    assert ys[:, 0].tolist() == np.convolve(xs, [3, 2, 1], mode="same").tolist() == [2, 7, 19, 12]


@pytest.mark.parametrize("padding", [1e30, np.inf, np.nan])
def test_convolution_does_not_see_padding(padding):
    graph, state = nnx.split(NGramConvolution(D, 6, 3, rngs=nnx.Rngs(0)))

    def run(state, xs):
        ys = nnx.merge(graph, state)(xs, mask=MASK)
        return jnp.sum(jnp.where(MASK[..., None], ys, 0)), ys

    program = quick_jit(jax.value_and_grad(run, argnums=(0, 1), has_aux=True))
    clean, dirty = (program(state, jnp.where(MASK[..., None], XS, filler)) for filler in (0.0, padding))
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(clean))
    jax.tree.map(np.testing.assert_array_equal, dirty, clean)


# --- Pooling ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", Pooling.KINDS)
def test_pooling_equals_numpy(kind):
    """Over a bidirectional layer's real outputs; the empty row gives zeros."""
    rnn = RNN(Bidirectional(GRU(3)), D, rngs=nnx.Rngs(0))
    pooling = Pooling(kind, rnn.output_size, rngs=nnx.Rngs(1))
    output = quick_jit(lambda rnn: rnn.apply(XS, mask=MASK))(rnn)

    def by_numpy(ys):
        last = np.concatenate([ys[-1, :3], ys[0, 3:]])
        if kind == "last":
            return last
        if kind == "last_mean_max":
            return np.concatenate([last, ys.mean(0), ys.max(0)])
        if kind == "attention":
            hidden = np.tanh(ys @ pooling.hidden.w.get_value())
            return np.average(ys, axis=0, weights=np.exp(hidden @ pooling.query.w.get_value())[:, 0])
        return {"mean": ys.mean(0), "max": ys.max(0), "mean_max": np.concatenate([ys.mean(0), ys.max(0)])}[kind]

    pooled = call(pooling, output, MASK)
    for row in range(2):
        close(pooled[row], by_numpy(np.asarray(output.ys[row])[np.asarray(MASK[row])]))
    assert not pooled[2].any() and pooled.shape[-1] == pooling.output_size


def test_unknown_pooling_names_what_there_is():
    with pytest.raises(ValueError, match="No pooling 'sum'; there are: last, mean, max, mean_max, last_mean_max, att"):
        Pooling("sum", 2, rngs=nnx.Rngs(0))
