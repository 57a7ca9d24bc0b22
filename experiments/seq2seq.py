r"""Sequence to sequence: translation, and any other text from a text, by an encoder–decoder with attention.

    python -m experiments.seq2seq                                     # embedded dates to ISO 8601, one to two minutes
    python -m experiments.seq2seq --flagfile=experiments/recipes/multi30k_en_de.flags --data_dir=DIR --workdir=runs/m30k
    python -m experiments.seq2seq --train_file=a.en,a.de --test_file=b.en,b.de --vocabulary_size=8000 --workdir=runs/own
    echo "A man sleeps." | python -m experiments.seq2seq --mode=predict --workdir=runs/mine --beam_size=10 --n_best=3

Expect test/exact_match above 0.98 on synthetic_dates. README.md has the results table.
Running the same command again continues an interrupted run, or prints the result of a finished one.
"""

import dataclasses
import functools
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from rnn_jax.config import knob, new_default
from rnn_jax.data.batching import Batch
from rnn_jax.data.paired import TextPairs, is_pairs_file
from rnn_jax.data.parts import choose_part
from rnn_jax.data.translation import PairsConfig, TranslationData, load_translation, read_file, read_part
from rnn_jax.data.translation_inputs import (
    EncodedPairs,
    SubwordConfig,
    TranslationInputs,
    fit_translation_inputs,
    take_rows,
)
from rnn_jax.errors import UserError
from rnn_jax.metrics.losses import smoothed_cross_entropy
from rnn_jax.metrics.translation import (
    BLEU_TOKENIZERS,
    sample_translations,
    signatures,
    translation_report,
)
from rnn_jax.models.recurrent_config import make_stack
from rnn_jax.models.seq2seq import Seq2Seq
from rnn_jax.models.seq2seq_config import Seq2SeqConfig, decoder_config, make_seq2seq
from rnn_jax.models.text_model_config import describe_cells, model_size, solve_width
from rnn_jax.models.translation_scores import encode_part, score, scoring, source_limit
from rnn_jax.models.translator import GREEDY, MORE_TOKENS, DecodingConfig, Translator, require_sense, search_settings
from rnn_jax.training.adopt import adopt_params, require_same_knobs
from rnn_jax.training.answers import answer_lines
from rnn_jax.training.app import Invocation, run_app
from rnn_jax.training.devices import data_mesh, replicate, wait_for_all
from rnn_jax.training.modes import run_mode
from rnn_jax.training.optimizer import OptimizerConfig, make_optimizer
from rnn_jax.training.plan import TrainingPlan, describe_plan, plan_training
from rnn_jax.training.plots import plot_attention, plot_curves
from rnn_jax.training.run import Run, RunConfig
from rnn_jax.training.session import Session
from rnn_jax.training.state import TrainState, create_state, evaluation_params
from rnn_jax.training.steps import Forward, Steps, make_steps
from rnn_jax.training.summary import num_parameters
from rnn_jax.training.teacher_forcing import TeacherForcingConfig, require_schedule, teacher_forcing_probability
from rnn_jax.training.trained import load_trained
from rnn_jax.training.updates import Update, Updates
from rnn_jax.training.window import prefixed

EXPERIMENT = "seq2seq"
VOCABULARY_KNOBS = ("tokenizer", "vocabulary_size", "joint_vocabulary", "lowercase")
NUM_PICTURES = 4


@dataclasses.dataclass(frozen=True)
class Config(
    PairsConfig, SubwordConfig, Seq2SeqConfig, TeacherForcingConfig, DecodingConfig, OptimizerConfig, RunConfig
):
    """Every knob of this experiment; groups by inheritance."""

    cell: tuple[str, ...] = new_default(Seq2SeqConfig, "cell", ("gru",))
    vocabulary_size: int = new_default(SubwordConfig, "vocabulary_size", 500)
    tokens_per_batch: int = new_default(SubwordConfig, "tokens_per_batch", 500)
    num_buckets: int = new_default(SubwordConfig, "num_buckets", 4)
    learning_rate: float = new_default(OptimizerConfig, "learning_rate", 4e-3)
    schedule: str = new_default(OptimizerConfig, "schedule", "cosine")
    clip_global_norm: float = new_default(OptimizerConfig, "clip_global_norm", 1.0)
    num_epochs: int = new_default(RunConfig, "num_epochs", 2)

    label_smoothing: float = knob(0.0, "share of the target spread over all tokens", minimum=0.0, maximum=0.9)
    select_by: str = knob("bleu", "what the best checkpoint has most of", choices=("bleu", "exact_match", "loss"))
    bleu_tokenizer: str = knob("13a", "how sacreBLEU splits both sides", choices=BLEU_TOKENIZERS)


def check(config: Config) -> None:
    """UserError for what can be told without data; a sweep asks before anything runs."""
    make_stack(config)
    make_stack(decoder_config(config), part="decoder_")
    make_optimizer(config, total_steps=1_000_000)


def make_model(config: Config, inputs: TranslationInputs) -> Seq2Seq:
    return make_seq2seq(config, inputs, config.seed)


def forward(
    model: Seq2Seq, arrays: dict[str, jax.Array], key: jax.Array | None, *, label_smoothing: float
) -> tuple[tuple[jax.Array, jax.Array], None]:
    """Summed loss and number of target tokens of a batch; smoothed in training only."""
    keys = (None,) * 3 if key is None else jax.random.split(key, 3)
    encoded = model.encode(arrays["source"], arrays["lengths"], key=keys[0])
    readouts = model.read_out(
        encoded, arrays["inputs"], teacher_forcing=arrays.get("teacher_forcing"), key=keys[1]
    ).readouts
    logits = model.logits(readouts, key=keys[2])
    smoothing = 0.0 if key is None else label_smoothing
    return smoothed_cross_entropy(logits, arrays["labels"], arrays["weights"], smoothing), None


@functools.cache
def smoothed(label_smoothing: float) -> Forward:
    return functools.partial(forward, label_smoothing=label_smoothing)


def steps_of(config: Config, inputs: TranslationInputs, total_steps: int = 0) -> Steps:
    solved = solve_width(config, inputs, make_model)
    return make_steps(solved, inputs, make_model, smoothed(config.label_smoothing), total_steps)


def load_best(workdir: str | Path, config: Config | None = None) -> Translator:
    """The model of a run directory; `config` may have other ways of decoding."""
    trained = load_trained(workdir, EXPERIMENT, Config, TranslationInputs, steps_of)
    return Translator(*trained._replace(config=config or trained.config))


def rank(config: Config, scores: dict[str, float]) -> tuple[float, ...]:
    """What the best checkpoint has most of."""
    return (-scores["loss"],) if config.select_by == "loss" else (scores[config.select_by], -scores["loss"])


def batch_arrays(
    config: Config, inputs: TranslationInputs, batch: Batch, training: EncodedPairs, step: int
) -> dict[str, Any]:
    """What update `step` is computed from."""
    arrays = inputs.batch_arrays(batch, training)
    if config.teacher_forcing != "always":
        probability = teacher_forcing_probability(config, step)
        arrays["teacher_forcing"] = np.full(len(batch.lengths), probability, np.float32)
    return arrays


def plan_of(config: Config, encoded: EncodedPairs) -> TrainingPlan:
    """The longer side of a pair says which bucket it is in; there, each side is padded to its own longest."""
    plan = plan_training(config, encoded.pairs.lengths, multiple_of=2, tokens_per_batch=config.tokens_per_batch)
    return plan._replace(waste=encoded.padding_waste(**plan.shapes))


class Prepared(NamedTuple):
    """The data, the inputs fitted on its training part, the pairs to train on; parameters of --init_from."""

    data: TranslationData
    inputs: TranslationInputs
    training: EncodedPairs
    donor_params: Any
    notes: tuple[str, ...]


def prepare(config: Config) -> Prepared:
    """Reads the data, and with --init_from another run's vocabulary and parameters; leaves out pairs too long."""
    data, donor_params = load_translation(config, seed=config.seed), None
    if config.init_from:
        donor = load_best(config.init_from)
        require_same_knobs(config, donor.config, VOCABULARY_KNOBS)
        inputs, donor_params = donor.inputs, donor.params
    else:
        inputs = fit_translation_inputs(config, data.train.sources, data.train.targets)
    encoded, notes = inputs.encode(data.train.sources, data.train.targets), list(data.notes)
    source_lengths, target_lengths = encoded.sources.lengths, encoded.targets.lengths - 1  # without the end
    short = np.flatnonzero(np.maximum(source_lengths, target_lengths) <= config.max_tokens)
    if not len(short):
        raise UserError(f"--max_tokens={config.max_tokens} leaves no pair to train on: raise it.")
    if left_out := len(encoded.pairs) - len(short):
        notes.append(f"{left_out:,} training pairs of more than {config.max_tokens} tokens are left out.")
    if share := np.mean(target_lengths > config.max_length_ratio * source_lengths + MORE_TOKENS):
        notes.append(f"{share:.1%} of the training targets are longer than --max_length_ratio lets the model write.")
    return Prepared(data, inputs, take_rows(encoded, short) if left_out else encoded, donor_params, tuple(notes))


def train(config: Config, run: Run) -> Updates:
    """Trains, chooses the best checkpoint by validation, scores test once; returns the result."""
    data, inputs, training, donor_params, notes = prepare(config)
    validation = encode_part(inputs, data.validation, config.max_tokens, run.say)
    mesh, plan = data_mesh(), plan_of(config, training)
    steps = steps_of(config, inputs, plan.total_steps)
    params = steps.init()
    if donor_params is not None:
        params, _ = adopt_params(params, donor_params, replaceable=())
        notes = (*notes, f"Starting from {config.init_from}.")
    lines = [*notes, *introduction(config, data, inputs, params, plan.total_steps)]
    lines.append(f"Padding is {plan.waste:.1%} of the training batches.")
    state = create_state(params, plan.optimizer, config.ema_decay)
    averaged = jax.jit(functools.partial(evaluation_params, ema_decay=config.ema_decay))

    with Session(config, run, plan, inputs, rank=functools.partial(rank, config)) as session:
        state = session.restore(state)
        session.begin(*lines)
        state = replicate(state, mesh)

        def evaluate(state: TrainState) -> dict[str, float]:
            # Greedy whatever the flags: how to decode is not part of a run, and so must not choose the checkpoint.
            translator = Translator(dataclasses.replace(config, **GREEDY), inputs, steps, averaged(state))
            metrics, texts = score(translator, data.validation, validation)
            samples = sample_translations(data.validation.sources, texts, data.validation.targets)
            run.write(f"samples/step_{session.step:08d}.txt", samples)
            return metrics

        for batch in plan.batches(training.pairs, session.step, seed=config.seed):
            if session.exhausted:
                break
            arrays = batch_arrays(config, inputs, batch, training, session.step)
            state, metrics = yield Update(steps, state, arrays, session.step)
            state = session.after_step(state, metrics, evaluate, num_tokens=int(arrays["weights"].sum()))
    return report(run, data)


def introduction(
    config: Config, data: TranslationData, inputs: TranslationInputs, params: Any, total_steps: int
) -> Iterator[str]:
    """What is about to be trained, and on what."""
    sizes = [inputs.source.get_vocab_size()] if inputs.is_joint else [t.get_vocab_size() for t in inputs]
    yield (
        f"{config.train_file or config.dataset}: {data.train.num_examples:,} pairs to train on,"
        f" {data.validation.num_examples:,} to validate, tests: {', '.join(data.tests) or 'none'};"
        f" {' and '.join(f'{size:,}' for size in sizes)} {config.tokenizer} tokens."
    )
    yield (
        f"{describe_cells(config)} → {describe_cells(decoder_config(config))},"
        f" attention: {config.attention}{', input feeding' * config.input_feeding},"
        f" {num_parameters(params):,} parameters, {total_steps:,} steps."
    )


def report(run: Run, data: TranslationData) -> dict[str, Any]:
    """Scores the checkpoint that validation chose, on validation and, this once, on the tests; pictures and results."""
    wait_for_all("training is over")
    translator = load_best(run.path)
    config, inputs = translator.config, translator.inputs
    result = model_size(config, inputs, make_model, translator.params)
    result |= search_settings(config)
    for name, part in {"validation": data.validation, **data.tests}.items():
        metrics, texts = score(translator, part, encode_part(inputs, part, source_limit(config), run.say))
        result |= prefixed(name, metrics | signatures(**scoring(config)))
        listing = translation_report(name, part.sources, texts, part.targets, **scoring(config))
        run.write(f"report_{name}.txt", listing)
    run.draw(plot_curves, run.path / "metrics.jsonl", "curves.png")
    draw_attention(run, translator, data.tests.get("test", data.validation))
    return run.finish(result)


def draw_attention(run: Run, translator: Translator, part: TextPairs) -> None:
    """Where the decoder looks while it writes its own translations of the first texts; also says these."""
    sources, _ = translator.inputs.encode_sources(part.sources[:NUM_PICTURES], source_limit(translator.config))
    found, maps = translator.search(sources), []
    for row, (text, best) in enumerate(zip(part.sources, found)):
        if best:
            run.say(textwrap.shorten(f"  {text} → {translator.inputs.text(best[0].ids)}", 200))
            maps.append(translator.attended(sources.row(row), best[0].ids))
    if any(maps):
        run.draw(plot_attention, maps, "attention.png")


def predict_lines(config: Config, invocation: Invocation) -> None:
    """--mode=predict: translates the lines of standard input or a file."""
    translator = load_best(invocation.workdir, config)
    num_lines, num_cut, limit = 0, 0, source_limit(config)

    def answers(lines: list[str]) -> Iterator[dict[str, Any]]:
        nonlocal num_lines, num_cut
        texts = [line.strip() for line in lines]
        sources, more = translator.inputs.encode_sources(texts, limit)
        num_cut += more
        yield from translator.answers(texts, sources, first_row=num_lines)
        num_lines += len(lines)

    try:
        answer_lines(answers, invocation.input)
    finally:
        if num_cut:
            cut = f"warning: {num_cut:,} sources of more than {limit} tokens were cut (--max_source_tokens)"
            print(cut, file=sys.stderr)


def show_plan(config: Config) -> None:
    """--dry_run: prints what a run would do; trains nothing and writes nothing."""
    _, inputs, training, *_ = prepare(config)
    plan = plan_of(config, training)
    longest = batch_arrays(config, inputs, plan.longest_batch(training.pairs), training, step=0)
    solved = solve_width(config, inputs, make_model)
    print(describe_plan(solved, steps_of(solved, inputs, plan.total_steps), plan, longest))


def part_to_score(config: Config, name: str) -> tuple[str, TextPairs]:
    """A file (or two), the run's own train, validation or test part (by default test), or another split."""
    if is_pairs_file(name) or (Path(name).suffix and Path(name).is_file()):  # one alone is told what is missing
        part = read_file(config, name)
    else:
        load = functools.partial(load_translation, dataclasses.replace(config, further_tests=()), seed=config.seed)
        name, part = choose_part(config, name, load, functools.partial(read_part, config))
    if not part.num_examples:
        raise UserError(f"{part.name}: the targets are hidden (all empty), so there is nothing to score.")
    return name, part


def evaluate(config: Config, invocation: Invocation) -> tuple[str, dict[str, Any]]:
    """--mode=eval: the metrics of one part."""
    translator = load_best(invocation.workdir, config)
    name, part = part_to_score(config, invocation.split)
    warn = functools.partial(print, file=sys.stderr)
    metrics = score(translator, part, encode_part(translator.inputs, part, source_limit(config), warn)).metrics
    return name, metrics | signatures(**scoring(config)) | search_settings(config)


def main(config: Config, invocation: Invocation) -> None:
    require_sense(config)
    require_schedule(config)
    run_mode(config, invocation, EXPERIMENT, train=train, show_plan=show_plan, evaluate=evaluate, predict=predict_lines)


if __name__ == "__main__":
    run_app(main, Config, EXPERIMENT)
