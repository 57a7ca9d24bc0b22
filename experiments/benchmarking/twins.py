"""The sentiment model three times: as the experiment trains it, and with the same weights in Flax NNX and in torch.

Embedding → bidirectional LSTM → mean and maximum over the real steps → linear → cross entropy, trained with Adam. A
twin trains on a batch (numpy arrays, as the experiment's loop has them) and returns the loss, which may still be
computed: nobody waits for it before the next batch.

torch gets packed sequences. Padded ones are no alternative here: torch's backward direction would read the padding
before the text, which is another model.
"""

import os
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from experiments.benchmarking.peers.flax_peers import NNX_CELLS, NNXLayers, set_nnx_weights
from experiments.benchmarking.problems import Unsupported
from experiments.sentiment import Config
from rnn_jax.cells.lstm import LSTMParams
from rnn_jax.training import fit
from rnn_jax.training.devices import data_mesh, place_state, shard_batch
from rnn_jax.training.optimizer import make_optimizer
from rnn_jax.training.prepare import Prepared, first_state

Arrays = dict[str, np.ndarray]
Twin = Callable[[Arrays], Any]


def ours(prepared: Prepared) -> tuple[Any, Twin]:
    """Our initial parameters, and the experiment's own step."""
    state, _ = first_state(prepared)
    params, mesh = jax.tree.map(jnp.copy, state.params), data_mesh()
    state = place_state(state, mesh)

    def train(arrays: Arrays) -> Any:
        nonlocal state
        state, sums = fit.train_step(prepared.program, state, shard_batch(arrays, mesh))
        total, weight = sums["loss"]
        return total / weight

    return params, train


def weights_of(params: Any) -> dict[str, Any]:
    """Our parameters as numpy arrays: table (V, E), lstm (the two directions' LSTMParams), w (2·2H, C), b (C,)."""
    plain = jax.tree.map(np.asarray, nnx.to_pure_dict(params))
    layer = plain["encoder"]["weights"][0]
    lstm = [LSTMParams(**layer[way]) for way in ("forward", "backward")]
    return {"table": plain["embedding"]["table"], "lstm": lstm, **plain["output"]}


class FlaxModel(nnx.Module):
    """The model as one writes it in NNX; `cell` is a key of NNX_CELLS."""

    def __init__(self, cell: str, weights: dict[str, Any]):
        rngs, (classes,) = nnx.Rngs(0), weights["b"].shape
        kind, from_ours, _ = NNX_CELLS[cell]
        cells = [
            set_nnx_weights(kind(own.w_x.shape[0], own.w_h.shape[0], rngs=rngs), from_ours(own))
            for own in weights["lstm"]
        ]
        self.embedding = nnx.Embed(*weights["table"].shape, rngs=rngs)
        self.embedding.embedding[...] = jnp.asarray(weights["table"])
        self.encoder = NNXLayers([cells])
        self.output = nnx.Linear(weights["w"].shape[0], classes, rngs=rngs)
        self.output.kernel[...], self.output.bias[...] = jnp.asarray(weights["w"]), jnp.asarray(weights["b"])

    def __call__(self, tokens: jax.Array, lengths: jax.Array) -> jax.Array:
        """tokens (B, T) → logits (B, C)."""
        ys = self.encoder(self.embedding(tokens), lengths)
        real = (jnp.arange(tokens.shape[1], dtype=jnp.int32)[None] < lengths[:, None])[..., None]
        mean = jnp.where(real, ys, 0).sum(axis=1) / lengths[:, None].astype(ys.dtype)
        return self.output(jnp.concatenate([mean, jnp.where(real, ys, -jnp.inf).max(axis=1)], axis=-1))


def flax_twin(config: Config, weights: dict[str, Any], *, cell: str) -> Twin:
    """Flax, split once and merged inside of jit, with donated buffers: the least that NNX costs."""
    graph, params, rest = nnx.split(FlaxModel(cell, weights), nnx.Param, ...)
    optimizer = make_optimizer(config.optimizer, total_steps=1)

    def step(params, moments, arrays):
        def loss_of(params):
            logits = nnx.merge(graph, params, rest, copy=True)(arrays["tokens"], arrays["lengths"])
            return optax.softmax_cross_entropy_with_integer_labels(logits, arrays["labels"]).mean()

        loss, grads = jax.value_and_grad(loss_of)(params)
        updates, moments = optimizer.update(grads, moments, params)
        return optax.apply_updates(params, updates), moments, loss

    state = (params, optimizer.init(params))
    compiled = jax.jit(step, donate_argnums=(0, 1))

    def train(arrays: Arrays) -> Any:
        nonlocal state
        *state, loss = compiled(*state, arrays)
        return loss

    return train


def torch_twin(config: Config, weights: dict[str, Any]) -> Twin:
    """torch, on its device for this machine.

    Raises:
      Unsupported: torch is not installed.
    """
    try:
        import torch
    except ImportError as error:
        raise Unsupported("not installed (torch)") from error
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    device = "cuda" if jax.default_backend() == "gpu" and torch.cuda.is_available() else "cpu"

    def tensor(array: np.ndarray) -> Any:
        return torch.tensor(np.ascontiguousarray(array), device=device)

    table = torch.nn.Embedding.from_pretrained(tensor(weights["table"]), freeze=False)
    sizes = config.model.embedding_size, config.encoder.hidden_size[0]
    lstm = torch.nn.LSTM(*sizes, batch_first=True, bidirectional=True).to(device)
    output = torch.nn.Linear(*weights["w"].shape).to(device)
    with torch.no_grad():
        for suffix, own in zip(("l0", "l0_reverse"), weights["lstm"], strict=True):
            getattr(lstm, f"weight_ih_{suffix}").copy_(tensor(own.w_x.T))
            getattr(lstm, f"weight_hh_{suffix}").copy_(tensor(own.w_h.T))
            getattr(lstm, f"bias_ih_{suffix}").copy_(tensor(own.b))
            # torch has a second bias: kept at zero, or the sum of both would learn twice as fast as ours.
            getattr(lstm, f"bias_hh_{suffix}").zero_().requires_grad_(False)
        output.weight.copy_(tensor(weights["w"].T))
        output.bias.copy_(tensor(weights["b"]))
    trained = [p for module in (table, lstm, output) for p in module.parameters() if p.requires_grad]
    betas = (config.optimizer.beta1, config.optimizer.beta2)
    optimizer = torch.optim.Adam(trained, config.optimizer.learning_rate, betas, config.optimizer.epsilon, fused=True)

    def train(arrays: Arrays) -> Any:
        tokens, lengths = tensor(arrays["tokens"]), torch.from_numpy(arrays["lengths"]).long()
        packed = torch.nn.utils.rnn.pack_padded_sequence(table(tokens), lengths, batch_first=True, enforce_sorted=False)
        ys, _ = torch.nn.utils.rnn.pad_packed_sequence(lstm(packed)[0], batch_first=True)
        lengths = lengths.to(device)
        padding = torch.arange(ys.shape[1], device=device) >= lengths[:, None]
        mean, highest = ys.sum(dim=1) / lengths[:, None], ys.masked_fill(padding[..., None], -torch.inf).amax(dim=1)
        logits = output(torch.cat([mean, highest], dim=-1))
        loss = torch.nn.functional.cross_entropy(logits, tensor(arrays["labels"]).long())
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        return loss.detach()

    return train
