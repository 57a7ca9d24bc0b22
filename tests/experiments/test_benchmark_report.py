"""BENCHMARKS.md from JSON: means computed by hand, losses shown, prose kept; and the committed document is current."""

import json
from pathlib import Path

import pytest

from experiments.benchmarking import comparison, report
from experiments.benchmarking.markdown import shown
from rnn_jax.errors import UserError

ROOT = Path(__file__).parents[2]
COMMITTED = sorted({path.parent for path in ROOT.glob("benchmarks/*/*.json")})


def row(shape, cell, peer, ratio, *, pass_="gradient", median=0.002, **extra):
    return {
        "shape": shape,
        "cell": cell,
        "pass": pass_,
        "peer": peer,
        "seconds": {"q1": 0.9 * median, "median": median, "q3": 1.25 * median},
        "blocks": 30,
        "calls_per_block": 4,
        "ratio_to_ours": ratio,
        "compile_seconds": 1.5 * ratio,
        "temp_bytes": 2_000_000 * ratio,
        "max_relative_error": 1e-7,
        **extra,
    }


ROWS = [
    row("small (16,64,64,64)", "lstm", "ours", 1.0),
    row("small (16,64,64,64)", "lstm", "naive", 0.5),
    row("small (16,64,64,64)", "lstm", "flax_nnx", 2.0),
    row("small (16,64,64,64)", "lstm", "torch", 0.81, compile_seconds=0.0, temp_bytes=None),
    row("wide (64,50,512,512)", "lstm", "ours", 1.0, median=1.2345),
    row("wide (64,50,512,512)", "lstm", "naive", 32.0),
    row("wide (64,50,512,512)", "lstm", "flax_nnx", 8.0),
    row("wide (64,50,512,512)", "lstm", "torch", 1.0, compile_seconds=0.0, temp_bytes=None),
    row("wide (64,50,512,512)", "gru", "ours", 1.0),
    row("wide (64,50,512,512)", "gru", "flax_nnx", 2.0),
    row("small (16,64,64,64)", "lstm", "ours", 1.0, pass_="train"),
    row("small (16,64,64,64)", "lstm", "ours_bf16", 0.4, pass_="train"),
]
MACHINE = {
    "platform": "cpu",
    "cpu_model": "Abacus 9000",
    "cores": 2,
    "load_before": 0.1,
    "load_after": 2.04,
    "commit": 4 * "0123456789" + "-dirty",
    "environment": {"XLA_FLAGS": None, "MALLOC_TRIM_THRESHOLD_": "8"},
}


def write_suite(directory, suite="cpu", rows=ROWS, **extra):
    directory.mkdir(exist_ok=True)
    document = {"suite": suite, "machine": MACHINE, "versions": {"jax": "0.8", "keras": None}, "rows": rows, **extra}
    (directory / f"{suite}.json").write_text(json.dumps(document))
    return directory


def lines_of(text, name):
    """The cells of each line of a section's tables."""
    block = text.split(f"<!-- begin: {name} -->\n")[1].split("\n<!-- end -->")[0]
    lines = [line for line in block.splitlines() if line.startswith("|") and "---" not in line]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


@pytest.fixture
def written(tmp_path):
    return report.write(write_suite(tmp_path / "box"), tmp_path / "BENCHMARKS.md").read_text()


def test_geometric_mean():
    assert comparison.geometric_mean([2.0, 8.0]) == pytest.approx(4.0)
    assert comparison.geometric_mean([0.5, 4.0, 4.0]) == pytest.approx(2.0)
    for wrong in ([], [1.0, 0.0]):
        with pytest.raises(ValueError, match="positive"):
            comparison.geometric_mean(wrong)


def test_summary_has_the_means_that_one_computes_by_hand(written):
    """Best JAX peers of the LSTM: naive with 0.5 and flax with 8, √4 = 2. flax: √(2 · 8) = 4. torch: √0.81 = 0.9."""
    header, *lines = lines_of(written, "box/summary")
    assert header == ["suite", "pass", "cell", "best JAX peer", "flax_nnx", "torch"]
    assert [line[:3] for line in lines] == [["cpu", "gradient", cell] for cell in ("lstm", "gru", "all")]
    best, flax, torch = zip(*(line[3:] for line in lines), strict=True)
    assert best == ("2.00 (lowest **0.50**, rows 2)", "2.00 (lowest 2.00, rows 1)", "2.00 (lowest **0.50**, rows 3)")
    # 3.17 = (2 · 8 · 2)^(1/3)
    assert flax == ("4.00 (lowest 2.00, rows 2)", "2.00 (lowest 2.00, rows 1)", "3.17 (lowest 2.00, rows 3)")
    assert torch == ("**0.90** (lowest **0.81**, rows 2)", "", "**0.90** (lowest **0.81**, rows 2)")


def test_rows_and_their_losses(written):
    header, *lines = lines_of(written, "box/gradient")
    assert header == ["shape", "cell", "ours: median ms (quartiles)", "best JAX peer", "naive", "flax_nnx", "torch"]
    assert lines[0][2:] == ["2 (1.8–2.5)", "**0.50**", "**0.50**", "2.00", "**0.81**"]
    assert lines[1] == ["wide (64,50,512,512)", "lstm", "1,234 (1,111–1,543)", "8.00", "32.00", "8.00", "1.00"]
    assert lines[2][3:] == ["2.00", "", "2.00", ""]
    assert lines[3] == ["geometric mean", "", "", "2.00", "4.00", "3.17", "**0.90**"]
    # Our own variant is no rival of ours.
    assert lines_of(written, "box/train") == [
        ["shape", "cell", "ours: median ms (quartiles)", "ours_bf16"],
        ["small (16,64,64,64)", "lstm", "2 (1.8–2.5)", "**0.40**"],
    ]
    assert "box/forward" not in written


def test_memory_compile_seconds_and_machine(written):
    header, first, *_ = lines_of(written, "box/memory")
    assert header == ["shape", "cell", "ours, MB", "naive, MB", "flax_nnx, MB"]  # torch has no figure
    assert first[2:] == ["2", "1", "4"]
    header, first, *_ = lines_of(written, "box/compile")
    assert (header[2], first[2:]) == ("ours, s", ["1.5", "0.75", "3", "0"])
    _, machine = lines_of(written, "box/machine")
    assert machine[:2] == ["cpu", "Abacus 9000, 2 cores"]
    assert machine[2:] == ["0.10 → 2.04", "0123456789-dirty", "jax 0.8", "`MALLOC_TRIM_THRESHOLD_=8`"]


def test_a_gpu_is_named():
    machine = {**MACHINE, "platform": "gpu", "device": "Loom X1"}
    assert report.machine_name(machine) == "Loom X1 (Abacus 9000, 2 cores)"


def test_prose_is_kept_and_a_second_time_changes_nothing(tmp_path):
    directory, document = write_suite(tmp_path / "box"), tmp_path / "BENCHMARKS.md"
    foreign = "<!-- begin: other/gradient -->\nstays\n<!-- end -->"
    document.write_text(
        "# Speed\n\nWords before.\n\n<!-- begin: box/gradient -->\nold figures\n<!-- end -->\n\nWords after.\n\n"
        f"{foreign}\n\n<!-- begin: box/end_to_end -->\nold as well\n<!-- end -->\n"
    )
    text = report.write(directory, document).read_text()
    assert text.startswith("# Speed\n\nWords before.\n\n<!-- begin: box/gradient -->\n| shape ")
    assert "<!-- end -->\n\nWords after.\n\n" + foreign in text
    assert "old" not in text and "<!-- begin: box/end_to_end -->\nNot measured.\n<!-- end -->" in text
    assert text.index("## box: summary") > text.index("Words after")
    assert report.write(directory, document).read_text() == text


def test_the_picture(tmp_path, written):
    assert (tmp_path / "box" / "cpu.png").read_bytes().startswith(b"\x89PNG")
    assert "![cpu: times of all implementations by ours](box/cpu.png)" in written


def test_suites_stand_apart(tmp_path):
    directory = write_suite(tmp_path / "box")
    ragged = [
        row("imdb", "lstm", "ours", 1.0),
        row("imdb", "lstm", "torch_packed", 3.0),
        row("imdb", "lstm", "torch_padded", 2.0),
    ]
    notes = [{"shape": s, "cell": "gru", "peer": "haiku", "kind": "cannot", "reason": "a|b"} for s in ("x", "y")]
    write_suite(directory, "ragged", ragged, not_run=notes)
    text = report.write(directory, tmp_path / "BENCHMARKS.md").read_text()
    assert "Suite `cpu`:\n\n| shape" in text and "Suite `ragged`:\n\n| shape" in text
    assert ["ragged", "gradient", "lstm", "", "", "3.00 (lowest 3.00, rows 1)"] in lines_of(text, "box/summary")
    assert "| ragged | haiku | a\\|b | 2: x gru … |" in text
    assert {path.name for path in directory.glob("*.png")} == {"cpu.png", "ragged.png"}


def test_ensembles_and_whole_models(tmp_path):
    def way(peer, seeds, speed, speedup):
        return row(
            "small",
            "lstm",
            peer,
            1.0,
            pass_="train",
            num_seeds=seeds,
            tokens_per_second=speed,
            speedup_over_torch=speedup,
        )

    directory = write_suite(
        tmp_path / "box",
        "ensembles",
        [
            way("vmap", 4, 1000.4, 0.5),
            way("map", 4, 5000.0, 2.5),
            way("torch", 4, 2000.0, 1.0),
            way("map", 16, 9.0, 0.7),
        ],
    )
    loop = {"shape": "reviews", "cell": "lstm", "pass": "train", "peer": "loop/program", "share": 0.9612}
    models = [
        row("reviews", "lstm", "ours", 1.0, pass_="train", tokens_per_second=1e5),
        row("reviews", "lstm", "torch", 0.9, pass_="train", tokens_per_second=1.2e5),
        loop,
    ]
    write_suite(directory, "end_to_end", models)
    text = report.write(directory, tmp_path / "BENCHMARKS.md").read_text()
    header, *lines = lines_of(text, "box/ensembles")
    assert header[3:] == ["seeds", "vmap, tokens/s", "map, tokens/s", "torch, tokens/s", "one program / torch"]
    assert lines[0][3:] == ["4", "1,000", "**5,000**", "2,000", "2.50"]
    assert lines[1][3:] == ["16", "", "**9**", "", "**0.70**"]
    assert lines_of(text, "box/end_to_end")[1:] == [
        ["reviews", "ours", "100,000 tokens/s", ""],
        ["reviews", "torch", "120,000 tokens/s", "**0.90**"],
        ["reviews", "loop/program", "96.1% of the loop's time is in the program", ""],
    ]
    assert "box/summary" not in text  # neither is a comparison of layers


def test_what_cannot_be_reported(tmp_path):
    with pytest.raises(UserError, match="run the benchmark first"):
        report.write(tmp_path, tmp_path / "BENCHMARKS.md")
    directory = write_suite(tmp_path / "box")
    (tmp_path / "open.md").write_text("<!-- begin: box/train -->\n<!-- begin: box/gradient -->\n<!-- end -->\n")
    with pytest.raises(UserError, match=r"open\.md.*its own"):
        report.write(directory, tmp_path / "open.md")
    (directory / "cpu.json").write_text('{"suite":')
    with pytest.raises(UserError, match="damaged"):
        report.write(directory, tmp_path / "BENCHMARKS.md")


def test_numbers():
    assert [shown(value) for value in (0.01234, 1.0, 99.94, 123.6, 12345.6)] == ["0.0123", "1", "99.9", "124", "12,346"]


@pytest.mark.skipif(not COMMITTED, reason="nothing measured is committed")
def test_the_committed_document_is_what_the_command_makes():
    text = report.DOCUMENT.read_text(encoding="utf-8")
    for directory in COMMITTED:
        assert report.with_tables(text, directory) == text, (
            f"./launch.sh benchmark --report={directory.relative_to(ROOT)}"
        )
        for suite in report.pictured(comparison.timing_cases(comparison.load(directory))):
            assert (directory / f"{suite}.png").exists()
