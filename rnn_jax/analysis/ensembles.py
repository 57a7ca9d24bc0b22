"""Many models of one shape as one program: a function over a leading axis of seeds, or of hyperparameters.

    step = jax.jit(ensemble(train_step, in_axes=(0, None)), donate_argnums=0)   # train_step(state, batch) of one model
    states, metrics = step(states, batch)                                       # every leaf of states: (S, …)

vmap   one batched program. Every matmul becomes S small ones at once: what accelerators want. Temporaries of S models.
map    one model after the other inside one program (`jax.lax.map`). Matmuls and temporaries stay those of one model.

Both give the numbers of S separate calls; which is faster depends on the machine (BENCHMARKS.md has measurements).
Several devices share the models with `mesh`: each computes S / devices of them, and none waits for another.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from rnn_jax.scanning.carries import varying_like

METHODS = ("auto", "vmap", "map")


def ensemble(
    function: Callable[..., Any],
    method: str = "auto",
    *,
    in_axes: int | Sequence[int | None] | None = 0,
    mesh: Mesh | None = None,
) -> Callable[..., Any]:
    """The function of one model as a function of S: arguments and results get a leading axis S.

    Args:
      function: pure, of one model's arrays (any pytrees, random keys included).
      method: "vmap", all models in one batched program; "map", one model after the other inside one program; "auto",
        "map" on a CPU and "vmap" elsewhere.
      in_axes: 0, or None for an argument that is the same for all models; one entry for all positional arguments or one
        for each, as in `jax.vmap`. Keyword arguments always have the axis.
      mesh: devices over all of whose axes the models are split; what models share is copied to each. Arguments may lie
        on it in any way, its axes may be explicit or automatic.

    Call the result under `jax.jit`: outside of it, `map` would compile at every call.

        step = jax.jit(ensemble(train_step, in_axes=(0, None)))   # train_step(state, batch) of one model
        states, metrics = step(states, batch)                     # every leaf of states: (S, …)

    Raises:
      TypeError: function is none.
      ValueError: an unknown method or axis; when called: no argument has the axis, their lengths differ, or S is no
        multiple of the number of devices.
    """
    if not callable(function):
        raise TypeError(f"function is a function of one model's arrays; got {function!r}.")
    if method not in METHODS:
        raise ValueError(f"No method {method!r}; there are: {', '.join(METHODS)}.")
    if not set(in_axes if isinstance(in_axes, Sequence) else [in_axes]) <= {0, None}:
        raise ValueError(f"in_axes={in_axes}: the axis of the models is 0, or None for what they share.")

    @functools.wraps(function)
    def of_all(*args: Any, **kwargs: Any) -> Any:
        axes = tuple(in_axes) if isinstance(in_axes, Sequence) else (in_axes,) * len(args)
        if len(axes) != len(args):
            raise ValueError(f"in_axes has {len(axes)} entries for {len(args)} positional arguments.")
        stacked = [arg for arg, axis in zip(args, axes) if axis == 0], kwargs
        shared = [arg for arg, axis in zip(args, axes) if axis is None]
        _check_models(stacked, 1 if mesh is None else mesh.size)

        def of_one(own: Any, shared: Any) -> Any:
            own_args, shared_args = iter(own[0]), iter(shared)
            return function(*(next(shared_args if axis is None else own_args) for axis in axes), **own[1])

        def of_some(stacked: Any, shared: Any) -> Any:
            shared = varying_like(stacked, shared)  # a gradient by what models share is each model's own, not their sum
            if (choose_method(jax.default_backend()) if method == "auto" else method) == "map":
                return jax.lax.map(lambda own: of_one(own, shared), stacked)
            return jax.vmap(of_one, in_axes=(0, None))(stacked, shared)

        if mesh is None:
            return of_some(stacked, shared)
        models, copied = PartitionSpec(mesh.axis_names), PartitionSpec()
        over_devices = jax.shard_map(of_some, mesh=mesh, in_specs=(models, copied), out_specs=models)
        # With explicit axes they must lie there already.
        stacked, shared = jax.device_put((stacked, shared), (NamedSharding(mesh, models), NamedSharding(mesh, copied)))
        return over_devices(stacked, shared)

    return of_all


def choose_method(platform: str) -> str:
    """The method of "auto": "vmap" or "map".

    On a CPU a batched matmul runs as S small ones without blocking over the batch: one model after the other. Elsewhere
    one small model alone is expected to leave the device idle; no accelerator was at hand to measure it.
    """
    return "map" if platform == "cpu" else "vmap"


def _check_models(stacked: Any, num_devices: int) -> None:
    shapes = [jnp.shape(leaf) for leaf in jax.tree.leaves(stacked)]
    lengths = {shape[:1] for shape in shapes}
    if len(lengths) != 1 or () in lengths:
        found = ", ".join(map(str, sorted(lengths))) or "no mapped argument"
        raise ValueError(
            f"Every mapped argument has one leading axis, the models; leading lengths here: {found}. "
            "A list is many scalars: give an array, as jnp.array(list) or jax.random.split(key, S) make one."
        )
    ((num_models,),) = lengths
    if num_models % num_devices:
        raise ValueError(f"{num_models} models cannot be split evenly over {num_devices} devices.")
