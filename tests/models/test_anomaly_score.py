"""Metrics of a part: over which series they go, what the baselines stand on, and what the report says first."""

import numpy as np
import pytest

from rnn_jax.data.anomaly.codec import fit_anomaly_codec
from rnn_jax.data.anomaly.parts import AnomalyPart
from rnn_jax.data.series.series import Columns, Series, SeriesSet
from rnn_jax.metrics.anomaly_ranking import ranking_summary
from rnn_jax.models.anomaly_baselines import SUB_PCA, baselines, filled
from rnn_jax.models.anomaly_config import DetectorConfig
from rnn_jax.models.anomaly_detector import NormalErrors, fit_detector
from rnn_jax.models.anomaly_report import report, verdict
from rnn_jax.models.anomaly_score import MODEL, score_part

ROWS, NORMAL = 120, 60
CONFIG = DetectorConfig(quantile=1.0)


def one_series(identity, marked, seed):
    values = np.random.default_rng(seed).normal(size=(ROWS, 1))
    marks = np.zeros((ROWS, 1))
    for first, last in marked:
        marks[first:last] = 1
    return Series(identity, values, None, marks, np.empty((ROWS, 0)))


@pytest.fixture(scope="module")
def parts():
    """Two series with anomalies and one without; and their errors: small ones, and 9 in some rows."""
    series = (one_series("a", [(70, 75), (90, 92)], 1), one_series("b", [(100, 110)], 2), one_series("c", [], 3))
    data = SeriesSet("made", series, Columns(("x",), ("is_anomaly",)))
    codec, _ = fit_anomaly_codec(data, [40] * 3, "standard", has_missing=False)
    normal = AnomalyPart("validation", codec, series, np.array([(40, NORMAL)] * 3), None, (40, 40, 40))
    part = AnomalyPart("test", codec, series, np.array([(NORMAL, ROWS)] * 3), normal)
    errors = [np.resize([-1.0, 1.0], ROWS)[:, None] for _ in series]
    for row in (72, 80):  # of a: a hit and a false alarm; the second span is missed
        errors[0][row] = 9.0
    errors[1][105:108] = 9.0
    errors[2][115] = 9.0
    fitted = NormalErrors(3)
    for number, own in enumerate(errors):
        fitted.add(number, own, (np.arange(ROWS) >= 40) & (np.arange(ROWS) < NORMAL))
    return part, errors, fit_detector(fitted, CONFIG)


def test_spans_are_counted_together_and_ranks_averaged(parts):
    part, errors, detector = parts
    found = score_part(detector, part, errors, CONFIG)
    metrics = found.metrics[MODEL]
    assert metrics["span_precision"] == pytest.approx(2 / 4)  # hits in a and b, false alarms in a and c
    assert metrics["span_recall"] == pytest.approx(2 / 3)
    assert metrics["share_flagged"] == pytest.approx(6 / 180)
    assert metrics["point_adjusted_f1"] == pytest.approx(2 * 15 / (15 + 2 + 17))
    assert np.isnan(found.by_series[MODEL][2])
    expected = []
    for i in (0, 1):
        scores = np.abs(errors[i][NORMAL:, 0])
        marks = part.series[i].past[NORMAL:, 0]
        expected.append(ranking_summary(marks, scores, 125)["auc_pr"])
    assert metrics["auc_pr"] == pytest.approx(np.mean(expected))
    assert metrics["point_adjusted_f1_of_random"] == found.metrics["random"]["point_adjusted_f1"]
    assert found.metrics["constant"]["share_flagged"] == 0 and found.metrics["constant"]["nab_standard"] == 0


def test_the_first_line_says_whether_a_baseline_wins(parts):
    part, errors, detector = parts
    found = score_part(detector, part, errors, CONFIG)
    found.metrics[MODEL]["vus_pr"] = 0.98
    lines = report(part, found).splitlines()
    assert lines[0] == verdict("test", found)
    assert lines[0].startswith("test: the model wins. The VUS-PR of the model 0.98, of the best baseline, ")
    found.metrics[SUB_PCA]["vus_pr"] = 0.99
    assert verdict("test", found).startswith("test: A BASELINE WINS. The VUS-PR of sub pca 0.99, of the model 0.98")
    assert any(line.startswith("| a | ") for line in lines) and not any(line.startswith("| c | ") for line in lines)


def test_baselines_read_scaled_values_and_see_normal_rows_alone(parts):
    part, _, _ = parts
    scorers = baselines(part, 1.0)
    series = part.series[0]
    scaled = (series.values[:, 0] - series.values[:40].mean()) / series.values[:40].std()
    np.testing.assert_allclose(
        scorers["last_difference"](series, 0), np.abs(np.diff(scaled, prepend=scaled[:1])), rtol=1e-4, atol=1e-6
    )
    changed = series.values.copy()
    changed[NORMAL:] = 50.0  # what is to be scored has no part in what Sub-PCA takes for normal
    later = Series("a", changed, None, series.past, series.future)
    before, after = (scorers[SUB_PCA](one, 0) for one in (series, later))
    np.testing.assert_allclose(before[:30], after[:30], rtol=1e-6)


def test_missing_values_repeat_the_last_known_one(parts):
    part, _, _ = parts
    values = np.array([[np.nan], [1.0], [np.nan], [np.nan], [2.0]])
    series = Series("a", values, None, np.zeros((5, 1)), np.empty((5, 0)))
    location, scale = part.series[0].values[:40].mean(), part.series[0].values[:40].std()
    expected = (np.array([1, 1, 1, 2]) - location) / scale
    np.testing.assert_allclose(filled(part, series)[:, 0], [0, *expected], rtol=1e-5)


def test_without_marks_there_is_nothing_to_score(parts):
    part, errors, detector = parts
    bare = tuple(Series(one.id, one.values, None, np.empty((ROWS, 0)), one.future) for one in part.series)
    found = score_part(detector, part._replace(series=bare), errors, CONFIG)
    assert set(found.metrics[MODEL]) == {"share_flagged"} and list(found.metrics) == [MODEL]
    assert "nothing can be scored; 3.33% of the rows are flagged" in verdict("test", found)
