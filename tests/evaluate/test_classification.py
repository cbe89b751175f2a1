"""Scores of a classification agree with scikit-learn and with sums by hand."""

import numpy as np
import pytest
from sklearn import metrics

from napari_medseg.errors import DataError
from napari_medseg.evaluate.classification import evaluate_classification, scores_of, threshold_at
from napari_medseg.evaluate.classification_html import classification_html
from napari_medseg.evaluate.tables import Answers, read_answers

RNG = np.random.default_rng(0)


def some(count: int, classes: int) -> tuple[np.ndarray, np.ndarray]:
    truth = RNG.integers(0, classes, count)
    logits = RNG.normal(size=(count, classes)) + 1.5 * np.eye(classes)[truth]
    return truth, np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)


@pytest.mark.parametrize("classes", [2, 4])
def test_scores_are_those_of_scikit_learn(classes):
    truth, probable = some(80, classes)
    guess = probable.argmax(axis=1)
    score = probable[:, 1] if classes == 2 else probable
    found = scores_of(truth, probable)
    assert found["accuracy"] == pytest.approx(metrics.accuracy_score(truth, guess))
    assert found["balanced_accuracy"] == pytest.approx(metrics.balanced_accuracy_score(truth, guess))
    assert found["f1"] == pytest.approx(metrics.f1_score(truth, guess, average="macro"))
    assert found["precision"] == pytest.approx(metrics.precision_score(truth, guess, average="macro"))
    assert found["kappa"] == pytest.approx(metrics.cohen_kappa_score(truth, guess))
    assert found["roc_auc"] == pytest.approx(metrics.roc_auc_score(truth, score, multi_class="ovr"))


def test_four_images_by_hand():
    truth = np.array([0, 0, 1, 1])
    probable = np.array([[0.9, 0.1], [0.4, 0.6], [0.2, 0.8], [0.3, 0.7]])
    found = scores_of(truth, probable)
    assert found["accuracy"] == 0.75
    assert found["kappa"] == pytest.approx(0.5)
    assert found["brier"] == pytest.approx(2 * (0.01 + 0.36 + 0.04 + 0.09) / 4)
    # Each image has a bin of its own: 0.9, 0.6 (wrong), 0.8, 0.7.
    assert found["ece"] == pytest.approx((0.1 + 0.6 + 0.2 + 0.3) / 4)


def test_threshold_reaches_the_wanted_sensitivity():
    actual = np.array([True] * 4 + [False] * 4)
    score = np.array([0.9, 0.8, 0.7, 0.2, 0.75, 0.3, 0.1, 0.05])
    found = threshold_at(actual, score, 0.75)
    assert (found.threshold, found.sensitivity, found.specificity) == (0.7, 0.75, 0.75)
    assert threshold_at(actual, score, 1.0).threshold == 0.2


def test_report_has_intervals_around_its_scores_and_a_page():
    truth, probable = some(60, 3)
    answers = Answers(("a", "b", "c"), tuple(map(str, range(60))), probable, truth, ("lost.png",))
    report = evaluate_classification(answers, 0.9)
    assert report == evaluate_classification(answers, 0.9)
    for name in ("accuracy", "roc_auc", "kappa"):
        assert report.intervals[name].low < report.scores[name] < report.intervals[name].high
    assert np.sum(report.confusion) == 60
    assert report.classes["a"].at_sensitivity.sensitivity >= 0.9
    text = classification_html(report, answers, "mine & yours")
    assert "mine &amp; yours" in text
    assert text.count("<svg") == 1
    assert "1 images have no prediction" in text


def test_tables_meet_by_image_with_or_without_folder_and_suffix(tmp_path):
    lines = ["image,predicted,p_x,p_y", "sub/a.png,x,0.9,0.1", "sub/b.png,y,0.2,0.8", "c.png,y,0.4,0.6"]
    (tmp_path / "predictions.csv").write_text("\n".join(lines))
    (tmp_path / "truth.csv").write_text("image,label,split\na,x,test\nsub/b,y,test\nd,x,test\nc.png,x,train\n")
    answers = read_answers(tmp_path, tmp_path / "truth.csv")
    assert answers.images == ("a", "sub/b")
    assert answers.missing == ("d",)
    assert answers.truth.tolist() == [0, 1]
    assert answers.probabilities.tolist() == [[0.9, 0.1], [0.2, 0.8]]
    (tmp_path / "other.csv").write_text("image,label\na,z\n")
    with pytest.raises(DataError, match="class 'z'"):
        read_answers(tmp_path, tmp_path / "other.csv")
