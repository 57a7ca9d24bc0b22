"""What --mode=predict prints of a task that answers a file as a whole; lines are asked in the experiments' tests."""

import csv
import io

import numpy as np
import pytest

from rnn_jax.errors import UserError
from rnn_jax.training.answers import predict, print_table
from rnn_jax.training.task import Task, Trained

ROWS = [{"time": "2024-01-01 00:00", "load, kW": np.float32(1.5)}, {"time": "01:00", "load, kW": float("nan")}]


def trained_on(**functions):
    names = ("name", "config", "codec", "metrics", "read", "make_model", "loss", "score", "answer", "check")
    blank = dict.fromkeys((*names, "read_part"))
    return Trained(Task(**blank | {"name": "toy"} | functions), None, None, None, np.zeros(3))


def test_a_table_comes_out_as_csv(capsys):
    print_table(ROWS)
    out = capsys.readouterr().out
    assert out == 'time,"load, kW"\n2024-01-01 00:00,1.5\n01:00,\n'
    assert [row["time"] for row in csv.DictReader(io.StringIO(out))] == ["2024-01-01 00:00", "01:00"]


def test_a_file_is_answered_as_a_whole(capsys):
    asked = []
    trained = trained_on(answer_file=lambda trained, path: iter(asked.append(path) or ROWS))
    predict(trained, "a.csv")
    predict(trained, "")
    assert asked == ["a.csv", "-"] and capsys.readouterr().out.count("load, kW") == 2
    assert trained.answer_file("b.csv") == ROWS
    with pytest.raises(UserError, match="answers files, not texts: call answer_file"):
        trained.answer(["a.csv"])


def test_texts_are_answered_by_themselves():
    trained = trained_on(answer=lambda trained, texts: ({"text": text} for text in texts))
    assert trained.answer(["a"]) == [{"text": "a"}]
    with pytest.raises(UserError, match="answers texts, not files: call answer"):
        trained.answer_file("a.csv")
