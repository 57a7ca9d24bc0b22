r"""Training speed of the sentiment model, ours beside the same model in torch, interleaved in one process.

    ./launch.sh benchmark                                    # on the lengths of the embedded dataset
    ./launch.sh benchmark --dataset=imdb_reviews --data_dir=DIR

Both sides train an embedding, a bidirectional LSTM, mean pooling over real steps and a linear output with Adam, on the
same batches in the same order; torch gets packed sequences. Before anything is timed, the weights are copied across and
the losses must agree to 1e-5. Every block times some steps of one side, then the same batches on the other; reported
are medians and quartiles over blocks, and the median of the blocks' ratios.
"""

import dataclasses
import itertools
import json
import os
import statistics
import time
from typing import Any

import numpy as np

from experiments import sentiment
from rnn_jax.config import knob
from rnn_jax.data.batching import epoch_batches
from rnn_jax.data.text_config import fit_inputs, load_texts
from rnn_jax.errors import UserError
from rnn_jax.training.app import Invocation, run_app
from rnn_jax.training.optimizer import make_optimizer
from rnn_jax.training.provenance import provenance
from rnn_jax.training.state import create_state


@dataclasses.dataclass(frozen=True)
class Config(sentiment.Config):
    """The sentiment experiment's knobs, without the models that the torch side does not have, and the timing's."""

    cell: tuple[str, ...] = knob(("lstm",), "the cell of both sides", choices=("lstm",))
    num_layers: int = knob(1, "layers of both sides", minimum=1, maximum=1)
    bidirectional: bool = knob(True, "read in both directions, on both sides", choices=(True,))
    pooling: str = knob("mean", "pooling of both sides", choices=("mean",))
    ngram_vocabulary_size: int = knob(0, "not on the torch side", minimum=0, maximum=0)
    convolution_width: int = knob(0, "not on the torch side", minimum=0, maximum=0)
    learning_rate: float = knob(1e-3, "of both sides", minimum=0.0)
    schedule: str = knob("constant", "schedule of both sides", choices=("constant",))
    clip_global_norm: float = knob(0.0, "not on the torch side", minimum=0.0, maximum=0.0)
    blocks: int = knob(15, "timed blocks a side", minimum=3)
    steps_per_block: int = knob(10, "training steps in a block", minimum=1)
    output: str = knob("", "JSON file for the figures (default: only printed)", identity=False)


def ours(config: Config, inputs: Any) -> tuple[Any, Any]:
    """Our initial parameters, and a function that trains on one batch, as the experiment does, and returns the loss."""
    optimizer = make_optimizer(config, total_steps=1)
    steps = sentiment.steps_of(config, inputs, optimizer)
    state = [create_state(steps.init(), optimizer)]

    def train(arrays) -> float:
        state[0], metrics = steps.train(state[0], arrays)
        return float(metrics["loss"])

    return steps.init(), train


def torch_twin(config: Config, params: Any) -> Any:
    """A function that trains the same model in torch, with the weights of `params`, on one batch."""
    try:
        import torch
    except ImportError as error:
        raise UserError(
            "The benchmark needs torch: install the extra `bench`, or use ./launch.sh benchmark."
        ) from error
    torch.set_num_threads(len(os.sched_getaffinity(0)))

    def tensor(array) -> Any:
        return torch.tensor(np.asarray(array))

    table = torch.nn.Embedding.from_pretrained(tensor(params["embedding"]["table"].get_value()), freeze=False)
    lstm = torch.nn.LSTM(config.embedding_size, config.hidden_size[0], batch_first=True, bidirectional=True)
    output = torch.nn.Linear(2 * config.hidden_size[0], params["output"]["b"].get_value().shape[0])
    layer = params["encoder"]["params"][0]
    with torch.no_grad():
        for suffix, cell in (("", layer["forward"]), ("_reverse", layer["backward"])):
            getattr(lstm, f"weight_ih_l0{suffix}").copy_(tensor(cell["w_x"].get_value()).T)
            getattr(lstm, f"weight_hh_l0{suffix}").copy_(tensor(cell["w_h"].get_value()).T)
            getattr(lstm, f"bias_ih_l0{suffix}").copy_(tensor(cell["b"].get_value()))
            # torch has a second bias: kept at zero, or the sum of both would learn twice as fast as ours.
            getattr(lstm, f"bias_hh_l0{suffix}").zero_().requires_grad_(False)
        output.weight.copy_(tensor(params["output"]["w"].get_value()).T)
        output.bias.copy_(tensor(params["output"]["b"].get_value()))
    optimizer = torch.optim.Adam(
        [p for module in (table, lstm, output) for p in module.parameters() if p.requires_grad], lr=config.learning_rate
    )

    def train(arrays) -> float:
        tokens, lengths = torch.tensor(arrays["tokens"]).long(), torch.tensor(arrays["lengths"]).long()
        packed = torch.nn.utils.rnn.pack_padded_sequence(table(tokens), lengths, batch_first=True, enforce_sorted=False)
        ys, _ = torch.nn.utils.rnn.pad_packed_sequence(lstm(packed)[0], batch_first=True)
        pooled = ys.sum(dim=1) / lengths[:, None]
        loss = torch.nn.functional.cross_entropy(output(pooled), torch.tensor(arrays["labels"]).long())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.item()

    return train


def full_batches(config: Config) -> tuple[Any, list[dict[str, np.ndarray]]]:
    """The inputs and the full batches of a block: none with filler rows or empty texts, which torch refuses."""
    data = load_texts(config, config.seed)
    inputs = fit_inputs(config, data.train.texts, data.label_names)
    split = sentiment.encode_split(config, inputs, data.train)
    batches = epoch_batches(split.texts, seed=config.seed, epoch=0, **sentiment.batch_shapes(config, split))
    full = (batch for batch in batches if batch.weights.all() and batch.lengths.all())
    chosen = list(itertools.islice(full, config.steps_per_block))
    if not chosen:
        raise UserError(f"{config.dataset} has no full batch of {config.batch_size} texts: lower --batch_size.")
    return inputs, [inputs.batch_arrays(batch, split.labels) for batch in chosen]


def time_block(train: Any, batches: list[dict[str, np.ndarray]]) -> float:
    start = time.perf_counter()
    for arrays in batches:
        train(arrays)
    return time.perf_counter() - start


def main(config: Config, invocation: Invocation) -> None:
    del invocation
    inputs, batches = full_batches(config)
    params, train_ours = ours(config, inputs)
    train_torch = torch_twin(config, params)
    for index, arrays in enumerate(batches):  # warm-up: compiles every shape, and proves that both are the same model
        losses = train_ours(arrays), train_torch(arrays)
        tolerance = 1e-5 if index == 0 else 1e-2  # rounding differs, and Adam's first steps are ±learning_rate
        if not np.isclose(*losses, atol=tolerance):
            raise RuntimeError(f"step {index}: the models differ, loss {losses[0]} (ours) and {losses[1]} (torch)")
    blocks = [(time_block(train_ours, batches), time_block(train_torch, batches)) for _ in range(config.blocks)]

    tokens = sum(int(arrays["lengths"].sum()) for arrays in batches)
    report: dict[str, Any] = {"tokens_per_block": tokens, "steps_per_block": len(batches), "blocks": len(blocks)}
    for name, times in zip(("ours", "torch"), zip(*blocks, strict=True), strict=True):
        low, median, high = statistics.quantiles(times, n=4)
        report[name] = {
            "steps_per_second": len(batches) / median,
            "tokens_per_second": tokens / median,
            "seconds_per_block_quartiles": [low, median, high],
        }
    report["torch_time_per_our_time"] = statistics.median(theirs / own for own, theirs in blocks)
    report |= {"load_average": os.getloadavg()[0], **provenance()}
    text = json.dumps(report, indent=2)
    print(text)
    if config.output:
        with open(config.output, "w", encoding="utf-8") as file:
            file.write(text + "\n")


if __name__ == "__main__":
    run_app(main, Config, "benchmark")
