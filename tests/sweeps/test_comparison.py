"""What is said of a row, and what must not be."""

import numpy as np
import pytest
import scipy.stats

from rnn_jax.errors import UserError
from rnn_jax.sweeps.comparison import compare
from rnn_jax.sweeps.records import read_record
from tests.sweeps.fake_records import fake_sweep

BASE = [0.80, 0.81, 0.82, 0.80, 0.81]
UP = [0.90, 0.912, 0.921, 0.903, 0.915]
DOWN = [0.70, 0.712, 0.721, 0.703, 0.715]
SAME = [0.805, 0.803, 0.824, 0.795, 0.812]


def compared(tmp_path, outcomes, order="sweep", **fields):
    sweep, records = fake_sweep(outcomes, tmp_path, **fields)
    return {summary.row.name: summary for summary in compare(sweep, records, order)}


def verdicts(tmp_path, outcomes, **fields):
    return {name: summary.verdict for name, summary in compared(tmp_path, outcomes, **fields).items()}


def test_numbers_of_a_row(tmp_path):
    rows = compared(tmp_path, {"base": BASE, "up": UP, "same": SAME})
    up = rows["up"]
    assert (up.runs, up.values) == (5, dict(enumerate(UP)))
    assert up.mean == pytest.approx(np.mean(UP)) and up.std == pytest.approx(np.std(UP, ddof=1))
    assert up.interval.low < up.mean < up.interval.high
    assert (up.num_parameters, up.hidden_size) == ((1234,), ("8",))
    assert up.minutes == 3.0  # seeds take 1, 2, 3, 4 and 5
    assert up.steps_per_second == 4.0  # 40 steps in 10 seconds
    assert rows["base"].difference is None


def test_a_divergence_that_was_tried_again_is_not_forgotten(tmp_path):
    sweep, records = fake_sweep({"base": BASE, "up": UP}, tmp_path)
    again = records[5].run.directory
    again.with_name(f"{again.name}.failed-1").mkdir(parents=True)
    records = [record._replace(set_aside=read_record(record.run).set_aside) for record in records]
    assert [record.set_aside for record in records] == [0] * 5 + [1] + [0] * 4
    _, up = compare(sweep, records, "sweep")
    assert up.verdict == "not judged (1 of 5 diverged before)" and len(up.values) == 5


def test_differences_are_taken_seed_by_seed_and_corrected(tmp_path):
    rows = compared(tmp_path, {"base": BASE, "up": UP, "same": SAME})
    up, same = rows["up"].difference, rows["same"].difference
    assert (up.n, up.paired) == (5, True)
    assert up.mean == pytest.approx(np.mean(np.subtract(UP, BASE)))
    assert up.p == pytest.approx(scipy.stats.ttest_rel(UP, BASE).pvalue)
    assert (up.p_holm, same.p_holm) == (pytest.approx(2 * up.p), pytest.approx(same.p))
    differences = np.subtract(UP, BASE)
    assert differences.min() <= up.interval.low < up.mean < up.interval.high <= differences.max()


@pytest.mark.parametrize(("maximize", "up", "down"), [(True, "better", "worse"), (False, "worse", "better")])
def test_words_follow_the_direction_of_the_metric(tmp_path, maximize, up, down):
    said = verdicts(tmp_path, {"base": BASE, "up": UP, "down": DOWN, "same": SAME}, maximize=maximize)
    assert said == {"base": "baseline", "up": up, "down": down, "same": "no difference shown"}


def test_nothing_is_called_better_for_its_own_p_value_alone(tmp_path):
    slightly = [b + d for b, d in zip(BASE, [0.001, 0.012, 0.004, 0.010, 0.006])]
    p = scipy.stats.ttest_rel(slightly, BASE).pvalue
    assert 0.025 < p < 0.05
    assert verdicts(tmp_path, {"base": BASE, "a": slightly})["a"] == "better"
    assert verdicts(tmp_path, {"base": BASE, "a": slightly, "b": SAME})["a"] == "no difference shown"


def test_seeds_that_do_not_pair(tmp_path):
    rows = compared(tmp_path, {"base": BASE, "up": UP, "half": UP}, first_seeds={"up": 100, "half": 2})
    welch = rows["up"].difference
    assert (welch.n, welch.paired) == (5, False)
    assert welch.p == pytest.approx(scipy.stats.ttest_ind(UP, BASE, equal_var=False).pvalue)
    half = rows["half"].difference  # seeds 2, 3 and 4 are common
    assert (half.n, half.paired) == (3, True)
    assert half.p == pytest.approx(scipy.stats.ttest_rel(UP[:3], BASE[2:]).pvalue)
    assert rows["up"].judgement == rows["half"].judgement == "better"


def test_a_change_that_lost_runs_is_never_better(tmp_path):
    said = verdicts(
        tmp_path,
        {
            "base": BASE,
            "diverged": [*UP[:3], "diverged", "diverged"],
            "failed": [*UP[:4], "failed"],
            "null": [*UP[:4], None],
            "both": [*UP[:3], "missing", "diverged"],
            "low": [*DOWN[:4], "diverged"],
            "gone": ["diverged"] * 5,
        },
    )
    assert said == {
        "base": "baseline",
        "diverged": "not judged (2 of 5 diverged)",
        "failed": "not judged (1 of 5 failed)",
        "null": "not judged (1 of 5 without the metric)",
        "both": "not judged (1 of 5 diverged, 1 without the metric)",
        "low": "worse (1 of 5 diverged)",
        "gone": "no result (5 of 5 diverged)",
    }


def test_none_is_worse_than_a_baseline_that_lost_runs(tmp_path):
    said = verdicts(tmp_path, {"base": [*BASE[:4], "diverged"], "up": UP, "down": DOWN})
    assert said["base"] == "baseline (1 of 5 diverged)"
    assert (said["up"], said["down"]) == ("better", "not judged (baseline 1 of 5 diverged)")


def test_few_seeds_are_an_anecdote(tmp_path):
    rows = compared(tmp_path, {"base": BASE, "two": UP[:2], "one": UP[:1]})
    assert (rows["two"].verdict, rows["one"].verdict) == ("anecdotal (n = 2)", "anecdotal (n = 1)")
    assert rows["two"].difference.mean == pytest.approx((0.10 + 0.102) / 2)
    assert (rows["one"].std, rows["two"].interval, rows["two"].difference.p) == (None, None, None)
    few = verdicts(tmp_path, {"base": BASE[:2], "up": UP})
    assert few == {"base": "baseline (anecdotal: n = 2)", "up": "anecdotal (baseline n = 2)"}


@pytest.mark.parametrize("status", ["interrupted", "running", "waiting"])
def test_unfinished_rows_are_not_judged(tmp_path, status):
    said = verdicts(tmp_path, {"base": BASE, "part": [*UP[:4], status], "done": UP})
    assert (said["part"], said["done"]) == ("unfinished (4 of 5 so far)", "better")
    said = verdicts(tmp_path, {"base": [*BASE[:4], status], "done": UP})
    assert said["done"] == "unfinished (baseline 4 of 5 so far)"


def test_a_sweep_that_has_just_begun(tmp_path):
    rows = compared(tmp_path, {"base": ["waiting"] * 3, "a": ["running", "waiting", "waiting"], "b": []})
    assert [row.mean for row in rows.values()] == [None] * 3
    assert rows["a"].verdict == "unfinished (0 of 3 so far)"
    assert (rows["b"].runs, rows["b"].verdict) == (0, "no result")


def test_seeds_that_do_not_vary(tmp_path):
    rows = compared(tmp_path, {"base": [0.5] * 5, "same": [0.5] * 5, "up": [1.0] * 5})
    assert (rows["same"].difference.p, rows["up"].difference.p) == (1.0, 2 / 2**5)
    assert rows["up"].verdict == "no difference shown (seeds do not vary)"
    assert rows["up"].difference.interval == (0.5, 0.5)
    six = verdicts(tmp_path, {"base": [0.5] * 6, "up": [1.0] * 6})
    assert six["up"] == "better (seeds do not vary)"


def test_order(tmp_path):
    outcomes = {"base": BASE, "down": DOWN, "gone": ["failed"] * 3, "up": UP}
    assert list(compared(tmp_path, outcomes)) == ["base", "down", "gone", "up"]
    assert list(compared(tmp_path, outcomes, "metric")) == ["up", "base", "down", "gone"]
    assert list(compared(tmp_path, outcomes, "metric", maximize=False)) == ["down", "base", "up", "gone"]
    with pytest.raises(UserError, match="unknown order of rows 'name': choose sweep or metric"):
        compared(tmp_path, outcomes, "name")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), True, "0.9"])
def test_what_is_no_finite_number_is_no_metric(tmp_path, value):
    if isinstance(value, str):  # a status to the helper
        sweep, records = fake_sweep({"base": BASE}, tmp_path)
        records[0].result["test/accuracy"] = value
        row = compare(sweep, records)[0]
    else:
        row = compared(tmp_path, {"base": [value, *BASE[1:]]})["base"]
    assert (row.counts["finished"], row.counts["without the metric"], len(row.values)) == (4, 1, 4)
