"""A task on the whole training stack, small enough for tests: a language model with truncated BPTT."""

import dataclasses

import jax
import numpy as np
from flax import nnx

from rnn_jax.cells import GRU
from rnn_jax.config import group, knob
from rnn_jax.data.batching import Ragged
from rnn_jax.data.codec import Codec
from rnn_jax.data.lanes import Lanes
from rnn_jax.data.parts import Data
from rnn_jax.losses import cross_entropy
from rnn_jax.metrics.directions import MAXIMISE, MINIMISE
from rnn_jax.modules import RNN, Embedding, Linear
from rnn_jax.training.optimizer_config import OptimizerConfig
from rnn_jax.training.run_config import RunConfig
from rnn_jax.training.task import Scored, Task

METRICS = {"loss": MINIMISE, "accuracy": MAXIMISE}
EXPERIMENT = "toy"
START = 5  # read before the first letter


@dataclasses.dataclass(frozen=True)
class SizelessConfig:
    """Knobs of a task whose network has one size."""

    optimizer: OptimizerConfig = group(OptimizerConfig, "optimiser", optimizer="adam", learning_rate=0.01)
    run: RunConfig = group(RunConfig, "run", num_epochs=2, log_every_steps=3)
    batch_size: int = knob(4, "lanes", minimum=1)
    bptt: int = knob(6, "steps that gradients reach back", minimum=1)
    num_tokens: int = knob(200, "tokens to train on", minimum=2)
    text_seed: int = knob(0, "another text", minimum=0)
    own_text: bool = knob(False, "another text, of another length, for every seed")
    own_lanes: bool = knob(False, "another number of lanes for every seed")
    poison_step: int = knob(-1, "step whose loss becomes NaN")


@dataclasses.dataclass(frozen=True)
class Config(SizelessConfig):
    hidden_size: tuple[int, ...] = knob((8,), "width", minimum=1)
    num_params: int = knob(0, "parameters", minimum=0)


@dataclasses.dataclass(frozen=True, eq=False)
class Letters(Codec):
    names: tuple[str, ...]


class Poisoned(Lanes):
    """A batch of NaN weights at one step."""

    poison_step = -1

    def batch(self, step):
        batch = super().batch(step)
        return batch | {"weights": batch["weights"] * np.float32(np.nan if step == self.poison_step else 1)}


def text_of(config, size):
    """Letters that go round, now and then skipping one: the last one tells the next."""
    skips = np.random.default_rng(config.text_seed).random(size) < 0.1
    return (np.cumsum(1 + skips) % 5).astype(np.int32)


def read(config, known):
    size = config.num_tokens + 24 * config.run.seed * config.own_text
    ids = text_of(config, size)

    def source():
        text = Ragged.from_rows([ids])
        num_lanes = config.batch_size + config.run.seed * config.own_lanes
        lanes = Poisoned(text, num_lanes, config.bptt, boundary=START, seed=0)
        lanes.poison_step = config.poison_step - 1
        return lanes

    texts = {"validation": Ragged.from_rows([ids[:60]]), "test": Ragged.from_rows([ids[60:120]])}
    parts = {name: Lanes(text, 2, 6, boundary=START, seed=0) for name, text in texts.items()}
    return Data(source, parts, Letters(tuple("abcde^")))


class LanguageModel(nnx.Module):
    def __init__(self, num_tokens, hidden_size, rngs):
        self.embedding = Embedding(num_tokens, 4, rngs=rngs)
        self.encoder = RNN(GRU(hidden_size), 4, rngs=rngs)
        self.output = Linear(hidden_size, num_tokens, rngs=rngs)

    def __call__(self, tokens, mask, resets, carry, key):
        out = self.encoder.apply(self.embedding(tokens), mask=mask, resets=resets, carry=carry, key=key)
        return self.output(out.ys), out.carry


def make_model(config, codec, rngs):
    return LanguageModel(len(codec.names), config.hidden_size[0], rngs)


def loss(model, batch, carry, key):
    mask = batch["weights"] > 0
    logits, carry = model(batch["tokens"], mask, batch["resets"], carry, key)
    return {"loss": cross_entropy(logits, batch["labels"], batch["weights"])}, jax.lax.stop_gradient(carry)


def judge(model, batch, carry):
    mask = batch["weights"] > 0
    logits, carry = model(batch["tokens"], mask, batch["resets"], carry, None)
    hits = ((logits.argmax(-1) == batch["labels"]) & mask).sum()
    return cross_entropy(logits, batch["labels"], batch["weights"]), hits, carry


def score(trained, part):
    carry, sums = None, []
    for step in range(part.steps_per_epoch):
        batch = part.batch(step)
        (total, weight), hits, carry = trained(judge, batch, carry)
        sums.append(jax.device_get((total, weight, hits)))
    total, weight, hits = np.sum(sums, axis=0)
    return Scored({"loss": float(total / weight), "accuracy": float(hits / weight)})


def answer(trained, inputs):
    """The most probable letter after each line of letters."""
    names = trained.codec.names
    for line in inputs:
        tokens = np.array([[names.index(letter) for letter in line]], np.int32)
        ones = np.ones(tokens.shape, np.float32)
        batch = {"tokens": tokens, "labels": tokens, "weights": ones, "resets": np.zeros(tokens.shape, bool)}
        logits = trained(next_letter, batch)
        yield {"text": line, "next": names[int(jax.device_get(logits)[0].argmax())]}


def next_letter(model, batch):
    return model(batch["tokens"], batch["weights"] > 0, batch["resets"], None, None)[0][:, -1]


TASK = Task(
    EXPERIMENT,
    Config,
    Letters,
    METRICS,
    read,
    make_model,
    loss,
    score,
    answer,
    check=lambda config: None,
    read_part=lambda config, codec, name: read(config, codec).parts["test"],
    classes=lambda codec: codec.names,
    unit="tokens",
)


def task():
    return TASK
