import numpy as np
import pytest
import torch

from napari_medseg.errors import ConfigError
from napari_medseg.tasks import UNLABELLED, task_named

TASK = task_named("segmentation")


def batch() -> tuple[torch.Tensor, torch.Tensor]:
    """Random logits of three classes, and a target of which about half is annotated."""
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn((2, 3, 4, 5, 6), generator=generator)
    target = torch.randint(0, 3, (2, 4, 5, 6), generator=generator)
    target[torch.rand(target.shape, generator=generator) < 0.5] = UNLABELLED
    return logits, target


def loss_and_gradient(logits: torch.Tensor, target: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    logits = logits.clone().requires_grad_()
    loss = TASK.loss(logits, target)
    loss.backward()
    assert logits.grad is not None
    return loss.detach(), logits.grad


def test_logits_at_unlabelled_voxels_change_neither_loss_nor_gradient() -> None:
    logits, target = batch()
    loss, gradient = loss_and_gradient(logits, target)
    hidden = (target == UNLABELLED)[:, None].expand_as(logits)
    other = torch.where(hidden, logits * -7 + 3, logits)

    other_loss, other_gradient = loss_and_gradient(other, target)

    assert torch.equal(loss, other_loss)
    assert torch.equal(gradient, other_gradient)
    assert not gradient[hidden].any()
    assert gradient[~hidden].all()


def test_an_unlabelled_voxel_is_as_good_as_an_absent_one() -> None:
    logits, target = batch()
    annotated = target[0] != UNLABELLED
    alone = TASK.loss(logits[:1, :, annotated], target[:1, annotated])
    assert TASK.loss(logits[:1], target[:1]).item() == pytest.approx(alone.item(), rel=1e-6)


def test_loss_of_a_known_case() -> None:
    # Two annotated voxels of class 0 and 1, both predicted with probability 3/4.
    logits = torch.log(torch.tensor([[[3.0, 1.0, 9.0], [1.0, 3.0, 9.0]]]))
    target = torch.tensor([[0, 1, UNLABELLED]])
    dice = 2 * 0.75 / (1 + 1)
    assert TASK.loss(logits, target).item() == pytest.approx(-np.log(0.75) + 1 - dice, rel=1e-4)


def test_classes_that_are_not_annotated_do_not_count_in_the_dice() -> None:
    logits = torch.full((1, 5, 4), -20.0)
    logits[:, 1] = 20.0
    assert TASK.loss(logits, torch.ones((1, 4), dtype=torch.long)).item() == pytest.approx(0, abs=1e-4)


def test_nothing_annotated_gives_zero_and_no_gradient() -> None:
    logits, target = batch()
    loss, gradient = loss_and_gradient(logits, torch.full_like(target, UNLABELLED))
    assert loss.item() == 0
    assert not gradient.any()


def test_bfloat16_logits_are_summed_in_float32() -> None:
    logits, target = batch()
    exact = TASK.loss(logits.bfloat16().float(), target)
    assert TASK.loss(logits.bfloat16(), target).item() == pytest.approx(exact.item(), rel=1e-5)


def test_overlaps_add_up_to_dice() -> None:
    target = np.array([[0, 1, 1, 2, UNLABELLED]])
    predicted = np.array([[0, 1, 0, 2, 2]])
    overlaps = TASK.overlaps(predicted, target, 4)
    np.testing.assert_array_equal(overlaps, [[1, 2, 1], [1, 1, 2], [1, 1, 1], [0, 0, 0]])
    np.testing.assert_allclose(TASK.scores(overlaps + overlaps), [2 / 3, 2 / 3, 1, np.nan])


def test_an_unknown_task_is_an_error_that_names_it() -> None:
    with pytest.raises(ConfigError, match="'alchemy'"):
        task_named("alchemy")
