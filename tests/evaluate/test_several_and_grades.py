"""Scores of several classes per image and of grades agree with scikit-learn and with hand-made cases."""

import csv

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score, f1_score, roc_auc_score

from napari_medseg.errors import DataError
from napari_medseg.evaluate.classification import evaluate_classification, scores_of
from napari_medseg.evaluate.classification_html import classification_html
from napari_medseg.evaluate.multilabel import several_scores
from napari_medseg.evaluate.tables import Answers, read_answers

RNG = np.random.default_rng(0)
TRUTH = RNG.integers(0, 2, (40, 3))
PROBABLE = np.clip(0.5 * TRUTH + RNG.uniform(0, 0.6, TRUTH.shape), 0, 1)


def test_each_class_is_scored_by_itself():
    found = several_scores(TRUTH, PROBABLE)
    guess = PROBABLE >= 0.5
    assert found["f1"] == pytest.approx(f1_score(TRUTH, guess, average="macro"))
    assert found["roc_auc"] == pytest.approx(roc_auc_score(TRUTH, PROBABLE))
    assert found["exact_match"] == pytest.approx((guess == TRUTH).all(axis=1).mean())
    assert found["brier"] == pytest.approx(np.square(PROBABLE - TRUTH).mean())


def test_grades_that_are_nearly_right_count_more():
    truth = np.array([0, 1, 2, 3, 3])
    near, far = np.eye(4)[[0, 2, 2, 3, 2]], np.eye(4)[[3, 1, 2, 3, 0]]
    found, worse = (scores_of(truth, probable, ordered=True) for probable in (near, far))
    assert found["accuracy"] == worse["accuracy"] == 0.6
    assert (found["grade_error"], worse["grade_error"]) == (0.4, 1.2)
    for probable, scores in ((near, found), (far, worse)):
        wanted = cohen_kappa_score(truth, probable.argmax(axis=1), weights="quadratic")
        assert scores["quadratic_kappa"] == pytest.approx(wanted)


def test_the_answer_to_a_grade_is_the_median():
    probable = np.array([[0.4, 0.25, 0.35]])
    assert scores_of(np.array([1]), probable, ordered=True)["accuracy"] == 1
    assert scores_of(np.array([1]), probable)["accuracy"] == 0


@pytest.mark.parametrize("columns", [True, False])
def test_tables_of_several_classes_are_compared(tmp_path, columns):
    names = [f"{k}.png" for k in range(40)]
    with (tmp_path / "p.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["image", "predicted", "p_a", "p_b", "p_c"])
        writer.writerows([[name, "", *row] for name, row in zip(names, PROBABLE, strict=True)])
    with (tmp_path / "r.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["image", *"abc"] if columns else ["image", "label"])
        for name, row in zip(names, TRUTH, strict=True):
            words = "|".join(letter for letter, there in zip("abc", row, strict=True) if there)
            writer.writerow([name, *row] if columns else [name, words])
    answers = read_answers(tmp_path / "p.csv", tmp_path / "r.csv")
    np.testing.assert_array_equal(answers.truth, TRUTH)
    report = evaluate_classification(answers, sensitivity=0.9)
    assert report.scores["accuracy"] == pytest.approx(((PROBABLE >= 0.5) == TRUTH).mean())
    assert report.intervals["exact_match"].low <= report.scores["exact_match"] <= report.intervals["exact_match"].high
    assert report.classes["b"].images == TRUTH[:, 1].sum()
    assert report.classes["b"].at_sensitivity.sensitivity >= 0.9
    page = classification_html(report, answers, "model")
    assert ("Confusion" in page, "<svg" in page) == (False, True)
    with pytest.raises(DataError, match="which are no grades"):
        evaluate_classification(answers, ordered=True)


def test_slices_are_found_by_file_and_number(tmp_path):
    (tmp_path / "p.csv").write_text("image,predicted,p_a,p_b\nx/scan.nii.gz:0,a,0.9,0.1\nx/scan.nii.gz:1,b,0.2,0.8\n")
    (tmp_path / "r.csv").write_text("image,slice,label\nscan,1,b\nscan,0,a\n")
    answers = read_answers(tmp_path / "p.csv", tmp_path / "r.csv")
    assert isinstance(answers, Answers)
    np.testing.assert_array_equal(answers.probabilities[:, 0], [0.2, 0.9])
    assert answers.truth.tolist() == [1, 0]
