"""Plots of a classification: ROC, precision and recall, reliability, and the confusion of classes."""

from typing import TYPE_CHECKING

import numpy as np

from napari_medseg.data.labelled.answers import decided
from napari_medseg.evaluate.classification import reliability
from napari_medseg.evaluate.plots import MOST_CLASSES, new_figure
from napari_medseg.evaluate.tables import Answers

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_IN_LEGEND = 12
"""Classes that a legend names."""
MOST_WRITTEN = 15
"""Classes up to which each cell of the confusion has its number written in it."""


def curves(answers: Answers) -> "Figure":
    """Return ROC, precision-recall and reliability curves beside each other."""
    figure, (roc, pr, sure) = new_figure(3, 3.6)
    draw_curves(answers, roc, pr)
    draw_reliability(answers, sure)
    return figure


def draw_curves(answers: Answers, roc: "Axes", pr: "Axes") -> None:
    """Draw the ROC and the precision-recall curve of each class."""
    from sklearn.metrics import precision_recall_curve, roc_curve

    for k, name in list(enumerate(answers.classes))[:MOST_CLASSES]:
        actual = answers.actual(k)
        if 0 < actual.sum() < len(actual):
            score = answers.probabilities[:, k]
            wrong, right, _ = roc_curve(actual, score)
            roc.plot(wrong, right, label=name)
            precision, recall, _ = precision_recall_curve(actual, score)
            pr.plot(recall, precision, label=name)
    roc.plot([0, 1], [0, 1], color="#9aa5b1", linewidth=1)
    roc.set(xlabel="1 - specificity", ylabel="sensitivity", title="ROC")
    pr.set(xlabel="recall", ylabel="precision", title="Precision and recall", ylim=(-0.02, 1.02))
    if pr.lines and len(answers.classes) <= MOST_IN_LEGEND:
        pr.legend(frameon=False, fontsize="small")


def draw_reliability(answers: Answers, axis: "Axes") -> None:
    """Draw how often answers are right against how sure they are."""
    bins = np.array([(a, b) for a, b, _count in reliability(answers)])
    axis.plot(bins[:, 0], bins[:, 1], marker="o", color="#4363d8")
    axis.plot([0, 1], [0, 1], color="#9aa5b1", linewidth=1)
    axis.set(xlabel="confidence", ylabel="accuracy", title="Reliability", xlim=(0, 1.02), ylim=(0, 1.02))


def draw_confusion(answers: Answers, axis: "Axes", ordered: bool = False) -> None:
    """Draw images by true and predicted class, as shares of the true class; empty where images may have several."""
    if answers.several:
        axis.axis("off")
        return
    count = len(answers.classes)
    guess = decided(answers.probabilities, "ordered" if ordered else "classes")
    found = np.bincount(answers.truth * count + guess, minlength=count**2).reshape(count, count)
    shares = found / np.maximum(found.sum(axis=1, keepdims=True), 1)
    axis.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    axis.grid(visible=False)
    if count <= MOST_WRITTEN:
        for (row, column), number in np.ndenumerate(found):
            color = "white" if shares[row, column] > 0.5 else "#1d2733"
            axis.text(column, row, str(number), ha="center", va="center", fontsize="small", color=color)
        axis.set_xticks(range(count), answers.classes, rotation=30, ha="right")
        axis.set_yticks(range(count), answers.classes)
    axis.set(xlabel="predicted", ylabel="true", title="Confusion")
