"""How well a classifier of signals does on a part, and what it answers to files."""

import io
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from rnn_jax.data.batching import Shapes
from rnn_jax.data.signals.codec import SignalCodec
from rnn_jax.data.signals.parts import SignalPart, to_predict
from rnn_jax.data.signals_config import SignalConfig
from rnn_jax.data.sources import in_order, map_rows
from rnn_jax.losses import cross_entropy
from rnn_jax.metrics.classification import ClassificationTotals, balanced_accuracy, by_recording, per_class
from rnn_jax.models.apply import Apply
from rnn_jax.models.signal_stream import labels_as_it_comes
from rnn_jax.models.signals import SignalClassifier
from rnn_jax.types import Array

_MOST_CLASSES = 20  # with a metric each


class Details(NamedTuple):
    """confusion[label, prediction] of a scored part."""

    confusion: np.ndarray

    def table(self, names: Sequence[str]) -> str:
        """CSV: of each class how many there are, precision, recall and F1."""
        rows = io.StringIO()
        rows.write("class,examples,precision,recall,f1\n")
        for name, count, numbers in zip(names, self.confusion.sum(axis=1), per_class(self.confusion), strict=True):
            quoted = name.replace('"', '""')
            rows.write(f'"{quoted}",{count},{",".join(f"{number:.4f}" for number in numbers)}\n')
        return rows.getvalue()


def judge(model: SignalClassifier, batch: dict[str, Array]) -> Any:
    """Summed loss, weight, and the log-probabilities (B, C) of the classes."""
    logits = model(batch["signal"], batch["lengths"], static=batch.get("static"))
    return *cross_entropy(logits, batch["labels"], batch["weights"]), jax.nn.log_softmax(logits)


def scored(apply: Apply, codec: SignalCodec, part: SignalPart, batch_size: int) -> tuple[dict[str, float], Details]:
    """Metrics of a part: each signal or window counts once, padding never."""
    totals = ClassificationTotals.zero(len(codec.label_names))
    log_probs = np.zeros((len(part.labels), len(codec.label_names)))
    for rows, batch in in_order(part.lengths, part.make_batch, Shapes(part.buckets, batch_size)):
        total, weight, found = jax.device_get(apply(judge, batch))
        real = rows >= 0
        log_probs[rows[real]] = found[: len(rows)][real]
        totals = totals.add(float(total), float(weight), part.labels[rows[real]], log_probs[rows[real]].argmax(axis=-1))
    metrics = totals.summary() | {"balanced_accuracy": balanced_accuracy(totals.confusion)}
    if part.has_windows:
        metrics |= by_recording(log_probs, part.labels, part.recordings)
    if len(codec.label_names) <= _MOST_CLASSES:
        f1 = per_class(totals.confusion)[:, 2]
        metrics |= {f"f1_{name.replace('/', '_')}": float(f1[i]) for i, name in enumerate(codec.label_names)}
    return metrics, Details(totals.confusion)


def answers(
    apply: Apply,
    model: SignalClassifier,
    codec: SignalCodec,
    config: SignalConfig,
    stream_every: int,
    paths: Iterable[str],
) -> Iterator[dict[str, Any]]:
    """Of each sequence in the files that the lines name: label and probabilities, with windows of them all together.

    stream_every: above 0, an answer after so many steps each.

    Raises:
      UserError: a file cannot be read, or is not of the form that the model was trained on.
    """
    for path in paths:
        part = to_predict(config, codec, path.strip())
        places = [{"path": path.strip()} | ({"of": part.signals.places[row]} if _is_one_of(part) else {})
                  for row in range(len(part.labels))]  # fmt: skip
        if stream_every:
            for row, place in enumerate(places):
                for steps, probabilities in labels_as_it_comes(apply, model, codec, part, row, stream_every):
                    yield place | {"steps": steps} | _said(codec, probabilities)
            continue
        judged = lambda batch: np.asarray(apply(judge, batch)[2], np.float64)  # noqa: E731
        shapes: Any = {"buckets": part.buckets, "batch_size": config.batch_size}
        log_probs = np.stack(map_rows(part.lengths, part.make_batch, judged, **shapes))
        for recording in np.unique(part.recordings):
            own = np.flatnonzero(part.recordings == recording)
            mean = log_probs[own].mean(axis=0)
            probabilities = np.exp(mean - mean.max())
            found = places[own[0]] | _said(codec, probabilities / probabilities.sum())
            if len(own) > 1:
                firsts = part.signals.sequences.starts[own] - part.signals.sequences.starts[own[0]]
                said = [codec.label_names[i] for i in log_probs[own].argmax(axis=1)]
                found["windows"] = [{"from": int(at), "label": label} for at, label in zip(firsts, said, strict=True)]
            yield found


def _is_one_of(part: SignalPart) -> bool:
    return bool(part.recordings.max() > 0)


def _said(codec: SignalCodec, probabilities: np.ndarray) -> dict[str, Any]:
    by_name = dict(zip(codec.label_names, map(float, probabilities), strict=True))
    return {"label": codec.label_names[int(probabilities.argmax())], "probabilities": by_name}
