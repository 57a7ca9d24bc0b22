"""The benchmark's script: what it measures, what it writes, how it continues."""

import json
import re

import jax
import pytest

from experiments import benchmark
from experiments.benchmark import Config
from experiments.benchmarking import table
from experiments.benchmarking.problems import SUITES, Shape, Unsupported
from rnn_jax.config import config_from_dict
from rnn_jax.errors import UserError
from rnn_jax.training.run_config import Invocation

pytestmark = pytest.mark.lenient_promotion

MICRO = Shape("micro", 2, 3, 2, 2)
NAMES = ("shape", "cell", "pass", "peer")


@pytest.fixture(autouse=True)
def micro(monkeypatch):
    """One small shape in the CPU suite, and no warning about malloc; the process keeps its compilation cache."""
    monkeypatch.setitem(SUITES, "cpu", (MICRO,))
    monkeypatch.setenv("MALLOC_MMAP_THRESHOLD_", "1")
    monkeypatch.setenv("MALLOC_TRIM_THRESHOLD_", "1")
    before = jax.config.jax_enable_compilation_cache
    yield
    jax.config.update("jax_enable_compilation_cache", before)


def run(folder, **knobs):
    chosen = {"cells": ("elman",), "passes": ("forward",), "peers": ("naive",), "blocks": 3, "min_block_seconds": 0.0}
    benchmark.main(Config(**{**chosen, **knobs}), Invocation(workdir=str(folder)))
    return json.loads((folder / "cpu.json").read_text())


def keys(document):
    return [tuple(row[name] for name in NAMES) for row in document["rows"]]


def test_rows_are_complete(tmp_path, capsys):
    document = run(tmp_path, passes=("gradient", "train"))
    shape = "micro (2,3,2,2)"
    assert keys(document) == [(shape, "elman", p, peer) for p in ("gradient", "train") for peer in ("ours", "naive")]
    for row in document["rows"]:
        assert 0 < row["seconds"]["q1"] <= row["seconds"]["median"] <= row["seconds"]["q3"]
        assert row["blocks"] == 3
        assert 0 < row["compile_seconds"] < 60
        assert row["temp_bytes"] >= 0
        assert row["max_relative_error"] < 1e-5
        assert row["ratio_to_ours"] == 1 if row["peer"] == "ours" else row["ratio_to_ours"] > 0
    machine = document["machine"]
    assert machine["cpu_model"] and machine["cores"] >= 1 and machine["load_before"] >= 0 and machine["load_after"] >= 0
    assert document["versions"]["jax"] == jax.__version__
    printed = capsys.readouterr()
    assert f"{shape} elman train: ours" in printed.out
    assert "| geometric mean |" in printed.out
    assert not printed.err


def test_an_interrupted_run_continues(tmp_path, monkeypatch):
    interleave, calls = benchmark.interleave, []

    def killed(*arguments, **options):
        calls.append(arguments)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return interleave(*arguments, **options)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(benchmark, "interleave", killed)
        run(tmp_path, passes=("forward", "gradient"))
    before = json.loads((tmp_path / "cpu.json").read_text())
    assert [row["pass"] for row in before["rows"]] == ["forward", "forward"]
    after = run(tmp_path, passes=("forward", "gradient"))
    assert after["rows"][:2] == before["rows"]
    assert [row["pass"] for row in after["rows"][2:]] == ["gradient", "gradient"]


def test_nothing_is_measured_twice(tmp_path, monkeypatch):
    before = run(tmp_path)
    monkeypatch.setattr(benchmark, "interleave", None)  # called: TypeError
    assert run(tmp_path)["rows"] == before["rows"]


def test_another_peer_joins_without_new_rows_of_ours(tmp_path):
    before = run(tmp_path)
    after = run(tmp_path, peers=("naive", "flax_linen"))
    assert after["rows"][:-1] == before["rows"]
    assert after["rows"][-1]["peer"] == "flax_linen"


def test_rows_of_other_conditions_are_not_mixed(tmp_path):
    document = run(tmp_path)
    document["machine"]["cpu_model"] = "another"
    (tmp_path / "cpu.json").write_text(json.dumps(document))
    with pytest.raises(UserError, match=r"other conditions \(cpu_model\)"):
        run(tmp_path)


def test_what_a_peer_cannot_do_is_noted_once(tmp_path, monkeypatch):
    asked = []

    def cannot(problem):
        asked.append(problem)
        raise Unsupported("has no such cell")

    monkeypatch.setitem(benchmark.PEERS, "naive", cannot)
    for _ in range(2):
        document = run(tmp_path)
        assert keys(document) == [("micro (2,3,2,2)", "elman", "forward", "ours")]
        assert [(note["peer"], note["reason"]) for note in document["not_run"]] == [("naive", "has no such cell")]
    assert len(asked) == 1


def test_a_wrong_peer_is_not_timed_and_not_silent(tmp_path, monkeypatch, capsys):
    right = benchmark.PEERS["naive"]

    def wrong(problem):
        program = right(problem)
        program._params = jax.tree.map(lambda leaf: leaf * 1.001, program._params)
        return program

    monkeypatch.setitem(benchmark.PEERS, "naive", wrong)
    with pytest.raises(RuntimeError, match="1 times an implementation differs"):
        run(tmp_path)
    assert re.search(r"warning: .* naive: \S+ differs by \d\.\de-04", capsys.readouterr().err)
    document = json.loads((tmp_path / "cpu.json").read_text())
    assert [row["peer"] for row in document["rows"]] == ["ours"]
    monkeypatch.setitem(benchmark.PEERS, "naive", right)
    assert [row["peer"] for row in run(tmp_path)["rows"]] == ["ours", "naive"]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"shapes": ["mikro"]}, "Did you mean micro"),
        ({"shapes": ["wide"]}, "the suite cpu has micro"),
        ({"peers": ["torhc"]}, "Did you mean torch"),
        ({"cells": ["rnn"]}, "allowed: elman, lstm, gru"),
        ({"suite": "gpu"}, "needs a GPU"),
    ],
)
def test_wrong_names_are_answered(tmp_path, values, message):
    with pytest.raises(UserError, match=message):
        benchmark.main(config_from_dict(Config, values), Invocation(workdir=str(tmp_path)))
    assert not list(tmp_path.iterdir())


def test_other_suites_write_their_rows_anew(tmp_path, monkeypatch, capsys):
    from experiments.benchmarking import ensembles

    for speed in (1.0, 2.0):
        monkeypatch.setattr(ensembles, "rows", lambda config, speed=speed: iter([{"peer": "map", "speed": speed}]))
        benchmark.main(Config(suite="ensembles"), Invocation(workdir=str(tmp_path)))
    rows = json.loads((tmp_path / "ensembles.json").read_text())["rows"]
    assert rows == [{"suite": "ensembles", "peer": "map", "speed": 2.0}]
    assert capsys.readouterr().out == "peer=map speed=1\npeer=map speed=2\n"


def test_dry_run_measures_nothing(tmp_path, capsys):
    benchmark.main(Config(cells=("gru",)), Invocation(workdir=str(tmp_path), dry_run=True))
    assert capsys.readouterr().out.startswith("micro (2,3,2,2) gru: forward, gradient, train; ours, naive, flax_nnx,")
    assert not list(tmp_path.iterdir())


def test_the_table_has_geometric_means():
    def row(shape, peer, ratio):
        names = {"shape": shape, "cell": "lstm", "pass": "train", "peer": peer}
        return {**names, "seconds": {"median": 0.004}, "ratio_to_ours": ratio, "compile_seconds": 1, "temp_bytes": None}

    text = table.markdown([row("a", "ours", 1), row("a", "torch", 2.0), row("b", "ours", 1), row("b", "torch", 8.0)])
    assert "| a | lstm | train | 4.00 | 2.00 |" in text
    assert "| geometric mean |  | train | 1.00 | 4.00 |" in text  # √(2·8)
