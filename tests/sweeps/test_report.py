"""The files of a report: what stands in them, and that nothing in a sweep can break them."""

import base64
import csv
import datetime
import math
from html.parser import HTMLParser

import numpy as np
import pytest

from rnn_jax.errors import UserError
from rnn_jax.sweeps import report_facts
from rnn_jax.sweeps.comparison import compare
from rnn_jax.sweeps.pictures import MOST_ROWS, drawn_rows, row_curve
from rnn_jax.sweeps.report import summary_lines, write_report
from rnn_jax.sweeps.report_latex import escape as latex
from rnn_jax.sweeps.report_markdown import code
from rnn_jax.sweeps.report_markdown import escape as markdown
from rnn_jax.sweeps.report_table import format_minutes, format_number, format_p, format_rate, table
from tests.sweeps.fake_records import fake_sweep

BASE = [0.80, 0.81, 0.82, 0.80, 0.81]
UP = [0.90, 0.912, 0.921, 0.903, 0.915]
NASTY = "size=3 | 50% of_$x$ & <b>`~^"
OUTCOMES = {
    "cell=lstm": BASE,
    "cell=gru": UP,
    NASTY: [*UP[:3], None, "failed"],
    "rate=1.0": ["diverged"] * 5,
}
PARTIAL = {"cell=lstm": BASE, "cell=gru": [*UP[:2], "running", "waiting", "interrupted"]}


@pytest.fixture(scope="module")
def folder(tmp_path_factory, rendered):
    """The report of OUTCOMES."""
    path = tmp_path_factory.mktemp("sweep")
    sweep, records = fake_sweep(OUTCOMES, path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(report_facts, "now", lambda: datetime.datetime(2026, 1, 2, 3, 4, tzinfo=datetime.UTC))
        write_report(sweep, records, path, command="python -m experiments.sweep a.py --jobs=2")
    return path


def read_csv(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_all_files_are_there_and_no_other(folder):
    names = {"report.md", "report.csv", "report.tex", "report.html", "runs.csv", "intervals.png", "curves.png"}
    assert {path.name for path in folder.iterdir()} == names


def test_csv_of_rows_has_full_precision(folder):
    base, gru, nasty, gone = read_csv(folder / "report.csv")
    assert [row["row"] for row in (base, gru, nasty, gone)] == list(OUTCOMES)
    assert float(gru["mean"]) == pytest.approx(np.mean(UP), rel=1e-15)
    assert float(gru["difference"]) == pytest.approx(np.mean(np.subtract(UP, BASE)), rel=1e-14)
    assert float(gru["p_holm"]) == 3 * float(gru["p"])
    assert (base["difference"], base["p"], base["judgement"], base["config/rate"]) == ("", "", "baseline", "0.5")
    assert (gru["judgement"], gru["test"], gru["config/rate"]) == ("better", "paired", "0.125")
    assert (nasty["finished"], nasty["failed"], nasty["without_the_metric"], nasty["n"]) == ("3", "1", "1", "3")
    assert (gone["diverged"], gone["mean"], gone["judgement"]) == ("5", "", "no result")


def test_csv_of_runs_has_every_number(folder):
    rows = read_csv(folder / "runs.csv")
    assert len(rows) == 20
    assert list(rows[0])[:4] == ["row", "seed", "status", "test/accuracy"]
    assert (float(rows[6]["test/accuracy"]), rows[6]["seed"], rows[6]["num_parameters"]) == (UP[1], "1", "1234")
    assert rows[6]["directory"] == "runs/row_1/seed_1"
    assert (rows[13]["status"], rows[13]["test/accuracy"], rows[13]["seconds"]) == ("finished", "", "240.0")
    assert (rows[19]["status"], rows[19]["num_parameters"]) == ("diverged", "")


def test_markdown_says_everything(folder):
    text = (folder / "report.md").read_text(encoding="utf-8")
    lines = text.splitlines()
    assert lines[0] == "# What a gate is worth"
    assert (
        lines[2] == "**14 of 20 runs finished; 5 diverged, 1 failed, 1 of the finished ones without the metric"
        " test/accuracy.**"
    )
    assert "First thing.\n\nSecond thing." in text
    (gru,) = (line for line in lines if line.startswith("| `cell=gru`"))
    cells = [cell.strip() for cell in gru.strip("|").split("|")]
    # means 0.9102 and 0.808; √(2.988e-4 / 4)
    assert cells[1] == "5/5" and "0.9102 ± 0.0086" in cells and "+0.1022" in cells and "better" in cells
    assert "not judged (1 of 5 failed, 1 without the metric)" in text
    assert "![](intervals.png)" in text and "![](curves.png)" in text
    for fact in (
        "- metric: test/accuracy, higher is better",
        "- runs: 4 rows, 5 seeds each",
        "- seeds: 0–4",
        "- machine: cpu",
        "- commit: c0ffee",
        "- versions: rnn_jax 0.1.0, jax 0.8.1, python 3.11.2",
        "- command: `python -m experiments.sweep a.py --jobs=2`",
        "- date: 2026-01-02 03:04 UTC",
    ):
        assert fact in lines
    assert "over all 3 changes" in text and "too narrow for few seeds" in text
    # the last lines of a failed run, without colours of the terminal, in a block that they cannot end
    assert "  ````text\n  Traceback:\n  ValueError: <b>no</b> | ```\n  ````" in text


def test_markdown_tables_survive_any_name(folder):
    lines = [line for line in (folder / "report.md").read_text(encoding="utf-8").splitlines() if line.startswith("| ")]
    assert len(lines) == 6
    assert len({line.replace(r"\|", "").count("|") for line in lines}) == 1
    assert markdown("a_b *c* _d_ <e> 1 < 2 [f](g) $h$") == r"a_b \*c\* \_d\_ \<e> 1 < 2 [f]\(g) \$h\$"
    assert (code("a"), code("a`b"), code("``")) == ("`a`", "`` a`b ``", "``` `` ```")


def test_latex_escapes():
    assert latex("a_b & 50 % #1 $x$ {y}") == r"a\_b \& 50~\% \#1 \$x\$ \{y\}"
    assert latex("~^\\") == r"\textasciitilde{}\textasciicircum{}\textbackslash{}"
    assert latex("<a> | b") == r"\(<\)a\(>\) \textbar{} b"
    assert latex("[x] *") == "{[}x{]} {*}"  # at the start of a line either would be read as an argument of \\
    assert latex("a--b ''") == "a{-}{-}b {'}{'}"
    assert latex("−1 ± 2, β, é, 漢\n\x07") == r"\(-\)1 \(\pm\) 2, \(\beta\), é, {[}U+6F22{]} {[}U+0007{]}"


def test_latex_tables(folder):
    text = (folder / "report.tex").read_text(encoding="utf-8")
    results, costs = text.split(r"\end{table}")[:2]
    assert r"\label{tab:fake-cells}" in results and r"\label{tab:fake-cells-costs}" in costs
    assert r"Holm{'}s correction over 3 changes" in results
    for part in (results, costs):
        assert part.count(r"\begin{tabular}") == part.count(r"\end{tabular}")
        rows = part.partition(r"\midrule")[2].partition(r"\bottomrule")[0].strip().splitlines()
        columns = part.partition(r"\begin{tabular}{@{}")[2].partition("@{}}")[0]
        assert len(rows) == 4 and len(columns) > 3
        for row in rows:
            assert row.endswith(r"\\")
            assert row.replace(r"\&", "").count("&") == len(columns) - 1
    assert r"0.9102 \(\pm\) 0.0086" in results
    assert r"50\% of\_\$x\$ \&" in results
    body = "\n".join(line for line in text.splitlines() if not line.startswith("% "))
    assert not set(body.replace(r"\%", "").removesuffix("%")) & set("±−–\x1b")
    assert body.count("{") - body.count(r"\{") == body.count("}") - body.count(r"\}")


class Page(HTMLParser):
    """What a browser would find: tags that are open, text, links to other files."""

    def __init__(self):
        super().__init__()
        self.open, self.tags, self.text, self.sources = [], [], "", []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.sources += [value for name, value in attrs if name in ("src", "href")]
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] not in ("style", "script"):
            self.text += data


def test_html_is_one_whole_file(folder):
    source = (folder / "report.html").read_text(encoding="utf-8")
    page = Page()
    page.feed(source)
    page.close()
    assert page.open == []
    assert "b" not in page.tags and NASTY in page.text and "<b>no</b> | ```" in page.text
    assert page.tags.count("details") == 1 + 6  # all runs; one failed, five diverged
    assert len(page.sources) == 2
    for name, picture in zip(("intervals.png", "curves.png"), page.sources):
        kind, _, data = picture.partition(",")
        assert kind == "data:image/png;base64" and base64.b64decode(data) == (folder / name).read_bytes()
    assert "http" not in source
    assert "prefers-color-scheme: dark" in source and "0.9102 ± 0.0086" in page.text
    assert f'data-key="{0.91020:.4f}' in source and 'data-key=""' in source


def pixels(path):
    """(height, width, 4) of 0 to 255."""
    return np.rint(pytest.importorskip("matplotlib.image").imread(path) * 255).astype(np.uint8)


def test_pictures_show_something(folder):
    for name in ("intervals.png", "curves.png"):
        assert len(np.unique(pixels(folder / name).view(np.uint32))) > 50
    blue = np.all(pixels(folder / "intervals.png")[..., :3] == [0x00, 0x72, 0xB2], axis=-1)
    assert blue.sum() > 20  # one row is better


def test_curves_of_seeds_that_end_early(tmp_path):
    _, records = fake_sweep({"a": [0.5, "diverged"]}, tmp_path)
    curve = row_curve(records, "validation/accuracy")  # seed 1 is 0.01 higher and ends at step 20
    assert curve.steps.tolist() == [10, 20, 30, 40]
    assert curve.mean == pytest.approx([0.205, 0.405, 0.6, 0.8])
    assert curve.low == pytest.approx([0.2, 0.4, 0.6, 0.8])
    assert curve.high == pytest.approx([0.21, 0.41, 0.6, 0.8])
    assert curve.whole.tolist() == [True, True, False, False]
    assert (curve.ends, curve.num_seeds) == ([(20.0, pytest.approx(0.41))], 2)
    assert row_curve(records, "absent") is None


def test_curves_of_seeds_that_log_at_different_steps(tmp_path):
    _, records = fake_sweep({"a": [0.5, 0.5]}, tmp_path)
    records[0].metrics[:] = [{"step": 0, "x": 0.0}, {"step": 4, "x": 4.0}, {"step": 5, "x": None}]
    records[1].metrics[:] = [{"step": 1, "x": 10.0}, {"step": 4, "x": 16.0}, {"step": 6, "x": True}]
    curve = row_curve(records, "x")
    assert (curve.steps.tolist(), curve.mean.tolist()) == ([0, 1, 4], [0.0, 5.5, 10.0])
    assert curve.whole.tolist() == [False, True, True]


def test_pictures_of_very_many_rows_are_cut(tmp_path):
    sweep, records = fake_sweep({f"row {number}": [0.5 + number / 1000] for number in range(MOST_ROWS + 5)}, tmp_path)
    best = drawn_rows(compare(sweep, records, "metric"))
    assert len(best) == MOST_ROWS + 1
    assert (best[0].row.name, best[-1].row.name) == (f"row {MOST_ROWS + 4}", "row 0")  # and the baseline


def test_a_partial_sweep_says_so(tmp_path):
    sweep, records = fake_sweep(PARTIAL, tmp_path)
    write_report(sweep, records, tmp_path)
    for name in ("report.md", "report.html", "report.tex"):
        text = (tmp_path / name).read_text(encoding="utf-8")
        assert "7 of 10 runs finished; 1 interrupted, 1 running, 1 waiting." in text
        assert "Partial: the numbers below" in text
        assert "unfinished (2 of 5 so far)" in text.replace(r" \\ ", " ")
    titles = [column.title for column in table(compare(sweep, records), sweep.metric)]
    assert titles[1:5] == ["seeds", "interrupted", "running", "waiting"]


def test_a_sweep_without_any_result_leaves_no_old_picture(tmp_path):
    (tmp_path / "intervals.png").write_text("old")
    (tmp_path / "curves.png").write_text("old")
    sweep, records = fake_sweep({"a": ["waiting"] * 2, "b": ["waiting"] * 2}, tmp_path)
    write_report(sweep, records, tmp_path)
    assert "0 of 4 runs finished; 4 waiting." in (tmp_path / "report.md").read_text(encoding="utf-8")
    assert not list(tmp_path.glob("*.png"))


def test_pictures_of_a_logarithmic_scale_and_of_wild_values(tmp_path, caplog):
    sweep, records = fake_sweep({"a": [1.0, 2.0, 3.0], "b": [1e6, "diverged", 2.0]}, tmp_path, curve_log=True)
    records[0].metrics[0]["validation/accuracy"] = -1.0
    records[4].metrics[0]["validation/accuracy"] = 1e30
    write_report(sweep, records, tmp_path)
    write_report(sweep._replace(curve_log=False), records, tmp_path, order="metric")
    assert not caplog.records
    assert (tmp_path / "curves.png").exists() and (tmp_path / "intervals.png").exists()


def test_notices_about_where_runs_come_from(tmp_path):
    sweep, records = fake_sweep({"a": BASE}, tmp_path)
    records[0].result.update(commit="abc-dirty", device="NVIDIA X", platform="gpu", device_count=2)
    records[1].result.update(commit=None, versions={"jax": "0.9.0"})
    write_report(sweep, records, tmp_path)
    text = (tmp_path / "report.md").read_text(encoding="utf-8")
    assert "> The runs come from 3 different states of the source code." in text
    assert "different machines: do not compare their speed" in text and "(-dirty)" in text
    assert "- machine: cpu (4 runs); 2 × NVIDIA X (gpu) (1 run)" in text
    assert "c0ffee (3 runs); abc-dirty (1 run); unknown (not run from a git checkout) (1 run)" in text
    assert "jax 0.8.1 / 0.9.0" in text


def test_optional_columns(tmp_path):
    sweep, records = fake_sweep({"a": BASE, "b": UP, "c": UP[:4]}, tmp_path, first_seeds={"c": 50})
    for record in records[:5]:
        record.result.update(hidden_size="16,8")
    columns = {column.title: column for column in table(compare(sweep, records), sweep.metric)}
    assert (columns["hidden size"].cells, columns["hidden size"].keys) == (["16,8", "8", "8"], [16.0, 8.0, 8.0])
    assert columns["test"].cells == ["–", "paired, n = 5", "Welch, n = 4"]
    assert columns["parameters"].cells == ["1,000", "1,234", "1,468"]
    sweep, records = fake_sweep({"a": BASE, "b": UP}, tmp_path)
    assert not {"hidden size", "test", "failed"} & {column.title for column in table(compare(sweep, records), "m")}


def test_terminal_table(tmp_path):
    sweep, records = fake_sweep(OUTCOMES, tmp_path)
    lines = summary_lines(sweep, records)
    assert lines[0].startswith("14 of 20 runs finished; 5 diverged, 1 failed")
    head = lines.index("") + 1
    assert " ".join(lines[head].split()) == "row seeds test/accuracy ± std difference p (Holm) verdict minutes"
    assert lines[head + 2].split()[:5] == ["cell=gru", "5/5", "0.9102", "±", "0.0086"]
    assert lines[head + 1].index("baseline ") > 0 and len(lines[head + 1]) <= len(lines[head])
    failed = lines.index(f"failed: {NASTY}, seed 4 ({tmp_path / 'runs' / 'row_2' / 'seed_4'})")
    assert lines[failed + 1 : failed + 3] == ["    Traceback:", "    ValueError: <b>no</b> | ```"]
    best = summary_lines(sweep, records, order="metric")
    assert best[best.index("") + 2].startswith(NASTY)  # three of its seeds, but they count


def test_formats():
    assert [format_number(x, 3) for x in (None, 0.0, -0.12345, 1e-5, -1e9)] == [
        "–",
        "0.000",
        "−0.123",
        "1.0e−05",
        "−1.0e+09",
    ]
    assert [format_number(x, 1, sign=True) for x in (2.0, -2.0, 0.0)] == ["+2.0", "−2.0", "0.0"]
    assert [format_p(p) for p in (None, 1.0, 0.04999, 0.00009)] == ["–", "1.0000", "0.0500", "<0.0001"]
    assert [format_rate(r) for r in (None, 1234.5, 99.96, 3.14159)] == ["–", "1,234", "100.0", "3.14"]
    assert [format_minutes(m) for m in (None, 61.7, 1.26, 0.049)] == ["–", "62", "1.3", "0.05"]


@pytest.mark.parametrize(
    ("values", "cell"),
    [([0.9731, 0.9735, 0.9741], "0.97357 ± 0.00050"), ([112.0, 118.0, 123.0], "117.7 ± 5.5"), ([0.5], "0.5000 ± –")],
)
def test_decimals_follow_the_spread(tmp_path, values, cell):
    sweep, records = fake_sweep({"a": values}, tmp_path)
    (column,) = (column for column in table(compare(sweep, records), "m") if column.title == "m ± std")
    assert column.cells == [cell]


def test_unknown_order_and_unwritable_directory(tmp_path):
    sweep, records = fake_sweep({"a": BASE}, tmp_path)
    with pytest.raises(UserError, match="unknown order"):
        write_report(sweep, records, tmp_path, order="name")
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot write"):
        write_report(sweep, records, tmp_path / "file" / "sweep")


def test_numbers_in_the_text_are_true():
    """The coverage of the percentile bootstrap that the report tells."""
    text = " ".join(report_facts.methods(3))
    rng = np.random.default_rng(0)
    for seeds, share in ((5, 0.84), (3, 0.75)):
        samples = rng.normal(size=(1000, seeds))
        means = samples[np.arange(1000)[:, None, None], rng.integers(0, seeds, (1000, 500, seeds))].mean(axis=-1)
        low, high = np.quantile(means, [0.025, 0.975], axis=1)
        covered = np.mean((low <= 0) & (high >= 0))
        assert covered == pytest.approx(share, abs=4 * math.sqrt(share * (1 - share) / 1000))
        assert f"{share * 100:.0f} %" in text
