"""Batches on a mesh of two devices: explicit axes, automatic ones, and `jax.shard_map` with its default checks."""

import contextlib
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

from rnn_jax import GRU, LSTM, Bidirectional, LearnedStart, Recurrent, Stack, Zoneout, ensemble, scan_cell
from rnn_jax.modules import RNN

ROWS, STEPS = 8, 6
XS = jax.random.normal(jax.random.key(1), (ROWS, STEPS, 3))
MASK = jnp.arange(STEPS)[None] < jnp.array([6, 3, 0, 2, 5, 6, 1, 4])[:, None]
RESETS = jax.random.bernoulli(jax.random.key(2), 0.3, (ROWS, STEPS))
LAYERS = {
    "lstm": Recurrent(LSTM(5)),
    "plain": Recurrent(LSTM(5), backend="plain"),
    "stack": Stack(Bidirectional(GRU(2)), LearnedStart(LSTM(4)), LSTM(4), residual=True),
    "zoneout": Stack(Zoneout(LSTM(5), rate=0.3)),
}


def loss_of(name):
    layer, key = LAYERS[name], jax.random.key(7) if name == "zoneout" else None

    def loss(params, xs, mask, resets):
        out = layer.apply(params, xs, mask=mask, resets=resets, key=key)
        return jnp.sum(out.ys**2) + jnp.sum(out.last)

    return loss


def params_of(name):
    return jax.tree.map(lambda leaf: leaf + 0.125, LAYERS[name].init(jax.random.key(0), 3))


@functools.cache
def on_one_device(name):
    """The loss with its gradients, and what it gives for the data."""
    gradient = jax.value_and_grad(loss_of(name), argnums=(0, 1))
    return gradient, jax.jit(gradient)(params_of(name), XS, MASK, RESETS)


def close(actual, expected):
    assert len(jax.tree.leaves(actual)) == len(jax.tree.leaves(expected)) > 0
    for a, b in zip(jax.tree.leaves(actual), jax.tree.leaves(expected)):
        np.testing.assert_allclose(np.asarray(a), np.asarray(b), rtol=0, atol=1e-5 * max(1, float(np.abs(b).max())))


def make_mesh(kind):
    return jax.make_mesh((2,), ("data",), axis_types=(kind,))


def on(mesh, tree, *spec):
    return jax.device_put(tree, NamedSharding(mesh, P(*spec)))


@pytest.mark.parametrize(
    ("name", "kind", "jit"),
    [  # jit on automatic axes is XLA's affair; explicit ones, and what runs at once, this library's
        pytest.param(name, kind, jit, marks=[pytest.mark.exhaustive] * (name not in of_each), id=f"{name}-{ways}")
        for kind, jit, ways, of_each in (
            (AxisType.Explicit, True, "explicit-jit", LAYERS),
            (AxisType.Explicit, False, "explicit-eager", ("stack",)),
            (AxisType.Auto, True, "auto-jit", ("lstm", "zoneout")),
            (AxisType.Auto, False, "auto-eager", ("stack",)),
        )
        for name in LAYERS
    ],
)
def test_a_batch_on_a_mesh(name, kind, jit):
    """Values and gradients are those of one device; the rows' gradient stays where the rows are."""
    if name == "zoneout" and kind == AxisType.Explicit and jax.__version_info__ < (0, 9):
        pytest.skip("jax 0.8 itself fails (KeyError) where random bits are drawn in a loop on a mesh of explicit axes")
    gradient, expected = on_one_device(name)
    mesh = make_mesh(kind)
    with jax.set_mesh(mesh) if kind == AxisType.Explicit else contextlib.nullcontext():
        arguments = on(mesh, params_of(name)), *(on(mesh, array, "data") for array in (XS, MASK, RESETS))
        actual = (jax.jit(gradient) if jit else gradient)(*arguments)
        assert len(actual[1][1].sharding.device_set) == 2
    close(actual, expected)


@pytest.mark.parametrize("name", [name for name in LAYERS if name != "zoneout"])  # whose rows count from 0 on each
def test_shard_map_with_its_checks(name):
    """The gradient by what all devices share is summed over them, by JAX."""
    _, (_, expected) = on_one_device(name)
    rows = P("data")
    sharded = jax.shard_map(
        jax.grad(loss_of(name), argnums=(0, 1)),
        mesh=make_mesh(AxisType.Auto),
        in_specs=(P(), rows, rows, rows),
        out_specs=(P(), rows),
    )
    close(jax.jit(sharded)(params_of(name), XS, MASK, RESETS), expected)


@pytest.mark.parametrize("name", ["lstm", "plain"])
def test_carries_that_are_handed_in_and_dropout(name):
    """On an explicit mesh and inside of a shard_map: a carry made elsewhere, one step, and units that are dropped."""
    layer = LAYERS[name]
    stack, params = Stack(layer, GRU(4), dropout=0.5), params_of(name)
    both = stack.init(jax.random.key(0), 3)
    carry = jax.tree.map(lambda leaf: leaf + 0.5, layer.initial_carry(params, ROWS))

    def run(params, both, xs, carry):
        out = layer.apply(params, xs, carry=carry)
        _, y = layer.step(params, carry, xs[:, 0])
        return out.ys, y, stack.apply(both, xs, key=jax.random.key(3)).ys

    expected = jax.jit(run)(params, both, XS, carry)
    mesh = make_mesh(AxisType.Explicit)
    with jax.set_mesh(mesh):
        close(jax.jit(run)(on(mesh, params), on(mesh, both), on(mesh, XS, "data"), carry), expected)

    local = lambda params, xs, carry: (layer.apply(params, xs, carry=carry).ys, layer.step(params, carry, xs[:, 0])[1])  # noqa: E731
    rows = P("data")
    sharded = jax.shard_map(local, mesh=make_mesh(AxisType.Auto), in_specs=(P(), rows, rows), out_specs=rows)
    close(jax.jit(sharded)(params, XS, carry), expected[:2])
    fresh = lambda params, xs: layer.apply(params, xs, carry=layer.initial_carry(params, ROWS // 2)).ys  # noqa: E731
    sharded = jax.shard_map(fresh, mesh=make_mesh(AxisType.Auto), in_specs=(P(), rows), out_specs=rows)
    close(jax.jit(sharded)(params, XS), layer.apply(params, XS).ys)


@pytest.mark.parametrize("name", ["lstm", "plain"])
def test_models_that_differ_on_data_that_does_not(name):
    """shard_map over params: each device has a model of its own and all the data."""
    gradient = jax.grad(loss_of(name), argnums=(0, 1))
    models = jax.tree.map(lambda leaf: jnp.stack([leaf, 0.5 - leaf]), params_of(name))

    def local(params, xs):
        alone = gradient(jax.tree.map(lambda leaf: leaf[0], params), xs, MASK, RESETS)
        return jax.tree.map(lambda leaf: leaf[None], alone)

    run = jax.shard_map(local, mesh=make_mesh(AxisType.Auto), in_specs=(P("data"), P()), out_specs=P("data"))
    actual, _ = jax.jit(run)(models, XS)
    one = jax.jit(gradient)
    expected = [one(jax.tree.map(lambda leaf, i=i: leaf[i], models), XS, MASK, RESETS)[0] for i in range(2)]
    close(actual, jax.tree.map(lambda *leaves: np.stack(leaves), *expected))


def test_a_flax_module_on_an_explicit_mesh():
    model = RNN(LAYERS["stack"], 3, rngs=nnx.Rngs(0))
    graph, state = nnx.split(model)
    loss = lambda state, xs, mask: (nnx.merge(graph, state)(xs, mask=mask) ** 2).sum()  # noqa: E731
    expected = jax.jit(jax.grad(loss))(state, XS, MASK)
    mesh = make_mesh(AxisType.Explicit)
    with jax.set_mesh(mesh):
        close(jax.jit(jax.grad(loss))(on(mesh, state), on(mesh, XS, "data"), on(mesh, MASK, "data")), expected)


@pytest.mark.parametrize("method", ["vmap", "map"])
def test_models_on_a_mesh(method):
    """Each device computes its models, and none waits for another: gradients by what they share are each one's own."""
    cell = GRU(5)
    params = jax.vmap(lambda key: cell.init(key, 3))(jax.random.split(jax.random.key(0), 4))
    gradient = jax.grad(lambda p, xs: (scan_cell(cell, p, xs)[1] ** 2).sum(), argnums=(0, 1))
    together = jax.jit(ensemble(gradient, method, in_axes=(0, None), mesh=make_mesh(AxisType.Auto)))
    one = jax.jit(gradient)
    expected = [one(jax.tree.map(lambda leaf, i=i: leaf[i], params), XS) for i in range(4)]
    close(together(params, XS), jax.tree.map(lambda *leaves: np.stack(leaves), *expected))
    program = together.lower(params, XS).compile().as_text()
    assert not any(word in program for word in ("all-reduce", "all-gather", "all-to-all"))


@pytest.mark.parametrize("jit", [True, False], ids=["jit", "eager"])
@pytest.mark.parametrize("kind", [AxisType.Explicit, AxisType.Auto], ids=["explicit", "auto"])
@pytest.mark.parametrize("within", [True, False], ids=["set_mesh", "no_mesh"])
def test_models_on_a_mesh_wherever_they_lie(kind, jit, within):
    """On one device, on the host, copied to all, or shared out already: the same numbers, shared out."""
    mesh, function = make_mesh(kind), lambda w, x: {"y": jnp.square(w @ x), "w": w}
    w, x = jax.random.normal(jax.random.key(3), (4, 3)), jnp.array([2.0, 1.0, -1.0])
    together = ensemble(function, "vmap", in_axes=(0, None), mesh=mesh)
    with jax.set_mesh(mesh) if within else contextlib.nullcontext():
        for given in ((w, x), (np.asarray(w), np.asarray(x)), on(mesh, (w, x)), (on(mesh, w, "data"), on(mesh, x))):
            actual = (jax.jit(together) if jit else together)(*given)
            assert all(len(leaf.sharding.device_set) == 2 for leaf in actual.values())
            assert actual["w"].addressable_shards[0].data.shape == (2, 3)
            close(actual, {"y": np.square(np.asarray(w) @ np.asarray(x)), "w": w})


def test_gradients_of_models_on_an_explicit_mesh():
    """With respect to the models and to what they share, by way of where they lie."""
    mesh = make_mesh(AxisType.Explicit)
    w, x = jax.random.normal(jax.random.key(3), (4, 3)), jnp.array([2.0, 1.0, -1.0])
    together = ensemble(lambda w, x: jnp.square(w @ x), "map", in_axes=(0, None), mesh=mesh)
    gradient = jax.grad(lambda w, x: together(w, x).sum(), argnums=(0, 1))
    with jax.set_mesh(mesh):
        actual = jax.jit(gradient)(on(mesh, w, "data"), on(mesh, x))
    close(actual, (2 * (w @ x)[:, None] * x, 2 * (w @ x) @ w))
