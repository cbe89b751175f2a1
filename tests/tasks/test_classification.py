"""The loss of a classification, by hand."""

import math

import pytest
import torch

from napari_medseg.tasks.kinds.classification import Classification

LOGITS = torch.tensor([[0.0, 0.0], [math.log(3), 0.0]])
TARGET = torch.tensor([[1.0, 0.0], [1.0, 0.0]])


def test_cross_entropy():
    assert Classification().loss(LOGITS, TARGET).item() == pytest.approx((math.log(2) - math.log(0.75)) / 2)


def test_weights_count_classes_not_batches():
    target = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    expected = (3 * math.log(2) - math.log(0.25)) / 4
    assert Classification((3.0, 1.0)).loss(LOGITS, target).item() == pytest.approx(expected)


def test_smoothing_asks_for_a_share_of_the_other_class():
    found = Classification(smoothing=0.2).loss(LOGITS[1:], TARGET[1:]).item()
    assert found == pytest.approx(-0.9 * math.log(0.75) - 0.1 * math.log(0.25))


def test_focal_loss_looks_away_from_what_is_right():
    found = Classification(focal=2.0).loss(LOGITS[1:], TARGET[1:]).item()
    assert found == pytest.approx(-(0.25**2) * math.log(0.75))
