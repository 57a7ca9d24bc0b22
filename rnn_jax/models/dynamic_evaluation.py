"""Dynamic evaluation (Krause et al. 2018): the parameters of a language model follow the text that it is scored on.

The text is read in segments of n tokens, each of which is scored by the present parameters θ and then learned from:

    θ ← θ − η g / (RMS + ε) + min(λ RMS / ε, 1) (θ_trained − θ)                 rule "rms", ε the mean of all RMS
    θ ← θ − η g + λ (θ_trained − θ)                                             rule "sgd"

g is the gradient of the segment's mean −log p, without dropout; what lies before the segment counts by the carry alone.
RMS, of each parameter, is the root of the mean square of g over training text. Parameters go on from one document to
the next; the carry does not.

Other than in the paper, ε is no number of its own but relative, so that it suits all models: a smaller one moves
embeddings of rare words too far. And the windows of training text are those of training, of N tokens, where the authors
have 100 segments side by side: their gradient counts as √(N / n) times smaller than that of n tokens, as if tokens were
independent, so that η is about the size of a step whatever --batch_size and --bptt are. It is ten times the authors' η.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx

from rnn_jax.data.lanes import Lanes
from rnn_jax.models.adaptation_config import AdaptationConfig
from rnn_jax.models.apply import Apply
from rnn_jax.models.language_model import LanguageModel
from rnn_jax.models.language_score import Batch, Reading, initial_carry, read_labels
from rnn_jax.types import Array, Float


class Steps(NamedTuple):
    """Of each parameter what its gradient, and its distance from the trained value, are multiplied by."""

    rates: Any
    decays: Any


def dynamic_readings(
    apply: Apply, config: AdaptationConfig, train: Callable[[], Lanes], windows: Iterable[Batch]
) -> Iterator[tuple[Batch, Reading]]:
    """Each window as it is read and then learned from, segment by segment.

    train: makes the lanes of the training text. windows: of whole segments, each going on from the one before.
    """
    params = apply(parameters, {})
    if config.dynamic_rule == "rms":
        mean_squares = gradient_squares(apply, train(), config.dynamic_windows, config.dynamic_segment)
        steps = apply(rms_steps, {}, mean_squares, config.rate, config.dynamic_decay)
    else:
        steps = apply(sgd_steps, {}, config.rate, config.dynamic_decay)
    carry = None
    for batch in windows:
        carry = apply(initial_carry, batch) if carry is None else carry
        reading, params = apply(follow, batch, carry, params, steps, segment=config.dynamic_segment)
        carry = reading.carry
        yield batch, reading


def gradient_squares(apply: Apply, lanes: Lanes, num_windows: int, segment: int) -> Any:
    """Mean square of each parameter's gradient, as of the mean −log p of `segment` tokens, over so many windows."""
    num_windows = min(num_windows, lanes.steps_per_epoch)
    carry, sums = None, None
    for step in range(num_windows):
        batch = lanes.batch(step)
        carry = apply(initial_carry, batch) if carry is None else carry
        sums, carry = apply(add_squares, batch, carry, sums)
    return jax.tree.map(lambda leaf: leaf / (num_windows * segment), sums)


def parameters(model: LanguageModel, batch: Any) -> Any:
    """As they were trained."""
    del batch
    return nnx.split(model)[1]


def add_squares(model: LanguageModel, batch: dict[str, jax.Array], carry: Any, sums: Any) -> tuple[Any, Any]:
    """The sums, None for none yet, and N g² of a window of N tokens, and the carry after it."""
    graph, params = nnx.split(model)
    gradients, reading = jax.grad(_mean_nats, has_aux=True)(params, graph, batch, carry)
    squares = jax.tree.map(lambda gradient: batch["weights"].sum() * jnp.square(gradient), gradients)
    return squares if sums is None else jax.tree.map(jnp.add, sums, squares), reading.carry


def rms_steps(model: LanguageModel, batch: Any, mean_squares: Any, rate: Any, decay: Any) -> Steps:
    """Those of the rule "rms"."""
    del model, batch
    rms = jax.tree.map(jnp.sqrt, mean_squares)
    leaves = jax.tree.leaves(rms)
    mean = sum(leaf.sum() for leaf in leaves) / sum(leaf.size for leaf in leaves)
    epsilon = jnp.maximum(mean, jnp.finfo(jnp.float32).tiny)
    rates = jax.tree.map(lambda leaf: rate / (leaf + epsilon), rms)
    return Steps(rates, jax.tree.map(lambda leaf: jnp.minimum(decay * leaf / epsilon, 1), rms))


def sgd_steps(model: LanguageModel, batch: Any, rate: Any, decay: Any) -> Steps:
    """Those of the rule "sgd"."""
    params = parameters(model, batch)
    alike = lambda number: jax.tree.map(lambda leaf: jnp.asarray(number, leaf.dtype), params)  # noqa: E731
    return Steps(alike(rate), alike(decay))


def follow(
    model: LanguageModel, batch: dict[str, jax.Array], carry: Any, params: Any, steps: Steps, *, segment: int
) -> tuple[Reading, Any]:
    """A window as it is read by parameters that learn from each of its segments, and the parameters after it."""
    graph, trained = nnx.split(model)
    rows, size = batch["tokens"].shape
    cut = lambda leaf: leaf.reshape(rows, size // segment, segment).swapaxes(0, 1)  # noqa: E731
    joined = lambda leaf: leaf.swapaxes(0, 1).reshape(rows, size, *leaf.shape[3:])  # noqa: E731

    def learn(state: Any, part: dict[str, jax.Array]) -> tuple[Any, tuple[Array, Array]]:
        params, carry = state
        gradients, reading = jax.grad(_mean_nats, has_aux=True)(params, graph, part, carry)
        params = jax.tree.map(_step, params, trained, gradients, *steps)
        return (params, reading.carry), (reading.nats, reading.features)

    (params, carry), (nats, features) = jax.lax.scan(learn, (params, carry), jax.tree.map(cut, batch))
    return Reading(joined(nats), joined(features), carry), params


def _step(value: Array, trained: Array, gradient: Array, rate: Array, decay: Array) -> Array:
    return value - rate * gradient + decay * (trained - value)


def _mean_nats(params: Any, graph: Any, batch: dict[str, jax.Array], carry: Any) -> tuple[Float[Array, ""], Reading]:
    reading = read_labels(nnx.merge(graph, params), batch, carry)
    weights = batch["weights"]
    return (weights * reading.nats).sum() / jnp.maximum(weights.sum(), 1), reading
