r"""Sequence labelling: part-of-speech tags, named entities, chunks, or any other label for every word.

    python -m experiments.tagging                                     # embedded synthetic tags, about a minute
    python -m experiments.tagging --flagfile=experiments/recipes/ewt_upos.flags --data_dir=DIR --workdir=runs/ewt
    python -m experiments.tagging --flagfile=experiments/recipes/conll2003_ner.flags --data_dir=DIR --workdir=runs/ner
    python -m experiments.tagging --train_file=a.conll --test_file=b.conll --columns=0,3 --workdir=runs/mine
    echo "Jordan signed the treaty" | python -m experiments.tagging --mode=predict --workdir=runs/mine

Expect test/accuracy above 0.98 on synthetic_tags (a per-word lookup stays below 0.80). README.md has the results table.
Running the same command again continues an interrupted run, or prints the result of a finished one.
"""

import dataclasses
import functools
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from rnn_jax.config import knob, new_default
from rnn_jax.data.columns import write_columns
from rnn_jax.data.embeddings import PretrainedVectors, match_vectors, read_vectors
from rnn_jax.data.parts import choose_part
from rnn_jax.data.tagging import (
    Sentences,
    TaggedTextConfig,
    TaggingData,
    is_tagged_file,
    load_tagged_part,
    load_tagging,
)
from rnn_jax.data.tagging_inputs import NUM_SPECIAL, EncodedSentences, TaggingInputs, WordsConfig, fit_tagging_inputs
from rnn_jax.data.words import split_at_spaces, split_words
from rnn_jax.errors import UserError
from rnn_jax.metrics.tagging import TaggingScores, score_tags, tagging_report
from rnn_jax.models.recurrent_config import make_stack
from rnn_jax.models.tagger import Tagger
from rnn_jax.models.tagger_config import TaggerConfig, make_tagger
from rnn_jax.models.text_model_config import describe_cells, model_size, solve_width
from rnn_jax.models.trained_tagger import TrainedTagger
from rnn_jax.training.adopt import adopt_params, require_same_knobs
from rnn_jax.training.answers import answer_lines, json_line
from rnn_jax.training.app import Invocation, run_app
from rnn_jax.training.devices import data_mesh, replicate, wait_for_all
from rnn_jax.training.modes import run_mode
from rnn_jax.training.optimizer import OptimizerConfig, make_optimizer
from rnn_jax.training.plan import TrainingPlan, describe_plan, plan_training
from rnn_jax.training.plots import plot_confusion, plot_curves
from rnn_jax.training.run import Run, RunConfig
from rnn_jax.training.session import Session
from rnn_jax.training.state import TrainState, create_state, evaluation_params
from rnn_jax.training.steps import Steps, make_steps
from rnn_jax.training.summary import num_parameters
from rnn_jax.training.trained import load_trained
from rnn_jax.training.updates import Update, Updates
from rnn_jax.training.window import prefixed

EXPERIMENT = "tagging"
FORMATS = ("json", "conll")
HEADLINE = ("loss", "accuracy", "unseen_accuracy", "sentence_accuracy", "f1")
VOCABULARY_KNOBS = ("lowercase", "max_characters")


@dataclasses.dataclass(frozen=True)
class Config(TaggedTextConfig, WordsConfig, TaggerConfig, OptimizerConfig, RunConfig):
    """Every knob of this experiment; groups by inheritance."""

    learning_rate: float = new_default(OptimizerConfig, "learning_rate", 4e-3)
    schedule: str = new_default(OptimizerConfig, "schedule", "cosine")
    clip_global_norm: float = new_default(OptimizerConfig, "clip_global_norm", 1.0)
    num_epochs: int = new_default(RunConfig, "num_epochs", 5)

    embeddings_file: str = knob("", "text file of word vectors to start from (GloVe, word2vec, fastText; also .gz)")
    embeddings_words: int = knob(50_000, "first words of --embeddings_file known beside the training words", minimum=0)

    pretokenized: bool = knob(False, "predict: lines hold words between spaces, not raw text", identity=False)
    output_format: str = knob("json", "predict: how answers are written", choices=FORMATS, identity=False)
    num_best: int = knob(1, "predict: most probable label sequences to list (crf)", minimum=1, identity=False)


def check(config: Config) -> None:
    """UserError for what can be told without data; a sweep asks before anything runs."""
    make_stack(config)
    make_optimizer(config, total_steps=1_000_000)


def make_model(config: Config, inputs: TaggingInputs) -> Tagger:
    return make_tagger(config, inputs, config.seed)


def forward(model: Tagger, arrays: dict[str, jax.Array], key: jax.Array | None):
    """Summed loss and number of labels of a batch, and the most probable tags (not needed in training)."""
    emissions = model(arrays["words"], arrays["lengths"], characters=arrays["characters"], key=key)
    loss = model.loss(emissions, arrays["labels"], arrays["lengths"], arrays["weights"])
    return loss, model.tags(emissions, arrays["lengths"])


def steps_of(config: Config, inputs: TaggingInputs, total_steps: int = 0) -> Steps:
    return make_steps(solve_width(config, inputs, make_model), inputs, make_model, forward, total_steps)


def load_best(workdir: str | Path) -> TrainedTagger:
    """The model of a run directory."""
    return TrainedTagger(*load_trained(workdir, EXPERIMENT, Config, TaggingInputs, steps_of))


def score(
    trained: TrainedTagger, sentences: Sentences, encoded: EncodedSentences
) -> tuple[TaggingScores, dict[str, float]]:
    """The counts and the metrics of a part."""
    tagged = trained.tag(encoded)
    seen = frozenset(trained.inputs.seen_words)
    scores = score_tags(*sentences, tagged.tags, seen_words=seen, scheme=trained.inputs.scheme)
    return scores, {"loss": tagged.loss} | scores.summary()


def rank(scores: dict[str, float]) -> tuple[float, ...]:
    """What the best checkpoint has most of: spans found, or where there are none, words right; then a low loss."""
    return scores.get("f1", scores["accuracy"]), scores["accuracy"], -scores["loss"]


def plan_of(config: Config, encoded: EncodedSentences) -> TrainingPlan:
    return plan_training(config, encoded.forms.lengths, multiple_of=2, tokens_per_batch=config.tokens_per_batch)


class Prepared(NamedTuple):
    """The data, the inputs fitted on its training part, and what --embeddings_file or --init_from bring along."""

    data: TaggingData
    inputs: TaggingInputs
    vectors: PretrainedVectors | None = None
    donor_params: Any = None
    has_donors_labels: bool = False
    notes: tuple[str, ...] = ()


def prepare(config: Config) -> Prepared:
    """Reads the data, a file of word vectors, and another run's vocabulary and parameters."""
    data = load_tagging(config, seed=config.seed)
    inputs = fit_tagging_inputs(config, data.train.tokens, data.label_names, scheme=data.scheme)
    if config.init_from:
        donor = load_best(config.init_from)
        require_same_knobs(config, donor.config, VOCABULARY_KNOBS)
        if config.embeddings_file:
            raise UserError(f"--init_from={config.init_from} brings its own embeddings: leave --embeddings_file out.")
        known = {name: getattr(donor.inputs, name) for name in ("words", "characters", "lowercase_unknown")}
        inputs = inputs._replace(**known)
        return Prepared(
            data, inputs, donor_params=donor.params, has_donors_labels=inputs.model_labels == donor.inputs.model_labels
        )
    if not config.embeddings_file:
        return Prepared(data, inputs)
    wanted = {spelling for word in inputs.words for spelling in (word, word.lower())}
    vectors = read_vectors(
        config.embeddings_file, size=config.embedding_size, wanted=wanted, max_words=config.embeddings_words
    )
    *_, coverage = match_vectors(inputs.words, vectors)
    more_words = [word for word in vectors.words if not config.lowercase or word == word.lower()]
    inputs = inputs._replace(words=tuple(dict.fromkeys([*inputs.words, *more_words])), lowercase_unknown=True)
    return Prepared(data, inputs, vectors, notes=(f"{config.embeddings_file}: {coverage}",))


def initial_params(config: Config, prepared: Prepared, steps: Steps) -> tuple[Any, list[str]]:
    """Fresh parameters but for what a file of vectors or another run gives, and notes on it."""
    params, notes = steps.init(), list(prepared.notes)
    if prepared.donor_params is not None:
        params, fresh = adopt_params(
            params,
            prepared.donor_params,
            replaceable=("output", "crf"),
            keep_fresh=not prepared.has_donors_labels,
        )
        notes.append(f"Starting from {config.init_from}; initialised anew: {', '.join(fresh) or 'nothing'}.")
    if prepared.vectors is not None:
        rows, found, _ = match_vectors(prepared.inputs.words, prepared.vectors)
        table = params["embedding"]["table"]
        special, words = jnp.split(table.get_value(), [NUM_SPECIAL])
        words = jnp.where(jnp.asarray(found)[:, None], jnp.asarray(rows), words)
        params["embedding"]["table"] = table.replace(jnp.concatenate([special, words]))
    return params, notes


def train(config: Config, run: Run) -> Updates:
    """Trains, chooses the best checkpoint by validation, scores test once; returns the result."""
    prepared = prepare(config)
    data, inputs = prepared.data, prepared.inputs
    training, validation = inputs.encode(*data.train), inputs.encode(*data.validation)
    mesh, plan = data_mesh(), plan_of(config, training)
    steps = steps_of(config, inputs, plan.total_steps)
    params, notes = initial_params(config, prepared, steps)
    lines = [*data.notes, *notes, *introduction(config, data, inputs, params, plan.total_steps)]
    lines.append(f"Padding is {plan.waste:.1%} of the training batches.")
    state = create_state(params, plan.optimizer, config.ema_decay)
    averaged = jax.jit(functools.partial(evaluation_params, ema_decay=config.ema_decay))

    with Session(config, run, plan, inputs, rank=rank, headline=HEADLINE) as session:
        state = session.restore(state)
        session.begin(*lines)
        state = replicate(state, mesh)

        def evaluate(state: TrainState) -> dict[str, float]:
            return score(TrainedTagger(config, inputs, steps, averaged(state)), data.validation, validation)[1]

        for batch in plan.batches(training.forms, session.step, seed=config.seed):
            if session.exhausted:
                break
            state, metrics = yield Update(steps, state, inputs.batch_arrays(batch, training), session.step)
            state = session.after_step(state, metrics, evaluate, num_tokens=int(batch.lengths.sum()))
    return report(run, data)


def introduction(
    config: Config, data: TaggingData, inputs: TaggingInputs, params: Any, total_steps: int
) -> Iterator[str]:
    """What is about to be trained, and on what."""
    num_words = sum(map(len, data.train.tokens))
    spelling = f" ({data.scheme} spans, {inputs.model_scheme} in the model)" if data.scheme else ""
    names = ", ".join(data.label_names[:20]) + ", …" * (len(data.label_names) > 20)
    yield (
        f"{config.train_file or config.dataset}: {num_words:,} words in {len(data.train.tokens):,} training sentences,"
        f" {len(data.validation.tokens):,} sentences to validate; {len(data.label_names)} labels{spelling}: {names}."
    )
    cells = describe_cells(config) + f", character {config.character_encoder}" * (config.character_encoder != "none")
    yield f"{cells}, {config.decoder}, {num_parameters(params):,} parameters, {total_steps:,} steps."


def report(run: Run, data: TaggingData) -> dict[str, Any]:
    """Scores the checkpoint that validation chose, on validation and, this once, on test; pictures and result.json."""
    wait_for_all("training is over")
    trained = load_best(run.path)
    result = model_size(trained.config, trained.inputs, make_model, trained.params)
    for name, part in (("validation", data.validation), ("test", data.test)):
        if part is not None:
            scores, metrics = score(trained, part, trained.inputs.encode(*part))
            result |= prefixed(name, metrics)
            run.draw(plot_confusion, scores.matrix(data.label_names), data.label_names, f"confusion_{name}.png")
            run.write(f"report_{name}.txt", tagging_report(name, scores, part.tokens))
    run.draw(plot_curves, run.path / "metrics.jsonl", "curves.png")
    for answer in trained.answers((data.test or data.validation).tokens[:3]):
        pairs = (f"{word}/{tag}" for word, tag in zip(answer["tokens"], answer["tags"], strict=True))
        run.say(textwrap.indent(textwrap.shorten(" ".join(pairs), 160), "  "))
    return run.finish(result)


def predict_lines(config: Config, invocation: Invocation) -> None:
    """--mode=predict: tags the lines of standard input or a file."""
    if config.num_best > 1 and config.decoder != "crf":
        raise UserError(f"--num_best={config.num_best} needs a run with --decoder=crf; this one has {config.decoder}.")
    if config.num_best > 1 and config.output_format != "json":
        raise UserError(f"--num_best={config.num_best} needs --output_format=json: columns have room for one sequence.")
    trained = load_best(invocation.workdir)
    split = split_at_spaces if config.pretokenized else split_words

    def to_columns(answer: dict[str, Any]) -> str:
        return write_columns(answer["tokens"], answer["tags"]) if answer["tokens"] else ""

    render = to_columns if config.output_format == "conll" else json_line
    answer_lines(
        lambda lines: trained.answers(list(map(split, lines)), config.num_best), invocation.input, render=render
    )


def show_plan(config: Config) -> None:
    """--dry_run: prints what a run would do; trains nothing and writes nothing."""
    prepared = prepare(config)
    inputs, training = prepared.inputs, prepared.inputs.encode(*prepared.data.train)
    plan = plan_of(config, training)
    longest = inputs.batch_arrays(plan.longest_batch(training.forms), training)
    solved = solve_width(config, inputs, make_model)
    print(describe_plan(solved, steps_of(solved, inputs, plan.total_steps), plan, longest))


def part_to_score(config: Config, inputs: TaggingInputs, name: str) -> tuple[str, Sentences]:
    """A file, the run's own train, validation or test part (by default test), or another split of its dataset."""
    if is_tagged_file(name):
        return name, load_tagged_part(config, name, inputs.label_names)
    load = functools.partial(load_tagging, config, seed=config.seed)
    load_split = functools.partial(load_tagged_part, config, label_names=inputs.label_names)
    return choose_part(config, name, load, load_split)


def evaluate(config: Config, invocation: Invocation) -> tuple[str, dict[str, float]]:
    """--mode=eval: the metrics of one part."""
    trained = load_best(invocation.workdir)
    name, part = part_to_score(config, trained.inputs, invocation.split)
    return name, score(trained, part, trained.inputs.encode(*part))[1]


def main(config: Config, invocation: Invocation) -> None:
    run_mode(config, invocation, EXPERIMENT, train=train, show_plan=show_plan, evaluate=evaluate, predict=predict_lines)


if __name__ == "__main__":
    run_app(main, Config, EXPERIMENT)
