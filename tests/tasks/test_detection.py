"""Anchors learn the boxes that they are nearest to, and losses fall as boxes come right."""

import pytest
import torch

from napari_medseg.tasks.kinds.detection import NOT, Detection, iou_table, pairwise_giou, pairwise_iou

GRID = torch.tensor([[x - 2.0, x + 2.0] for x in (2, 6, 10, 14)])


def anchors(axes):
    """Return anchors of edge 4 at all places of a grid of 4 along each axis."""
    places = torch.cartesian_prod(*[torch.tensor([2.0, 6, 10, 14])] * axes)
    return torch.cat([places - 2, places + 2], dim=1)


@pytest.mark.parametrize("axes", [2, 3])
@pytest.mark.parametrize("matching", ["nearest", "atss"])
def test_the_anchor_on_a_box_learns_it(axes, matching):
    grid = anchors(axes)
    edges = grid[[5, 10]]
    number = Detection(matching=matching).matched(grid, (len(grid),), edges)
    assert number[5] == 0
    assert number[10] == 1
    assert set(number.tolist()) == {NOT, 0, 1}
    inside = ((grid[:, :axes] + grid[:, axes:]) / 2 > edges[0, :axes]).all(dim=1)
    assert not (number[~inside] == 0).any()


def test_a_box_between_anchors_still_has_one():
    grid = anchors(2)
    number = Detection().matched(grid, (len(grid),), torch.tensor([[3.5, 3.5, 4.5, 4.5]]))
    assert (number == 0).sum() == 1


def test_the_smaller_of_two_boxes_has_the_anchor_in_its_middle():
    grid = anchors(2)
    large, small = torch.tensor([0.0, 0, 16, 16]), torch.tensor([5.0, 5, 7.5, 7.5])
    number = Detection().matched(grid, (len(grid),), torch.stack([large, small]))
    assert number[5] == 1
    assert (number == 0).any()


def test_atss_leaves_out_what_overlaps_little():
    grid = anchors(2)
    edges = torch.tensor([[0.0, 0, 12, 12]])
    near, strict = (int((Detection(matching=m).matched(grid, (16,), edges) == 0).sum()) for m in ("nearest", "atss"))
    assert near == 9
    assert 1 <= strict <= near


def test_nothing_to_find_is_nothing_to_match():
    assert (Detection().matched(anchors(3), (64,), torch.zeros((0, 6))) == NOT).all()


@pytest.mark.parametrize("axes", [2, 3])
@pytest.mark.parametrize("classes", ["quality", "focal", "hard_negatives"])
def test_being_right_costs_least(axes, classes):
    grid = anchors(axes)
    targets = [(grid[[5]], torch.tensor([1])), (torch.zeros((0, 2 * axes)), torch.zeros(0, dtype=torch.int64))]
    task = Detection(classes=classes)
    matched = task.matched(grid, (len(grid),), grid[[5]]) == 0
    right = torch.full((2, len(grid), 2), -9.0)
    right[0, matched, 1] = 9.0
    wrong, boxes = -right, grid.repeat(2, 1, 1)
    exact = boxes.clone()
    exact[0, matched] = grid[5]
    best = task.loss(right, exact, grid, (len(grid),), targets)
    assert best["edges"] == pytest.approx(0, abs=1e-6)
    assert best["classes"] < 0.01
    worst = task.loss(wrong, boxes, grid, (len(grid),), targets)
    assert worst["classes"] > 10 * best["classes"]
    logits = torch.zeros((2, len(grid), 2), requires_grad=True)
    sum(task.loss(logits, boxes, grid, (len(grid),), targets).values()).backward()
    assert torch.isfinite(logits.grad).all()
    assert logits.grad[0, 5, 1] < 0
    assert (logits.grad[1] >= 0).all()


def test_only_the_hardest_negatives_count():
    task = Detection(classes="hard_negatives", negatives=3)
    grid = anchors(2)
    logits = torch.zeros((1, 16, 1), requires_grad=True)
    hard = torch.arange(16) % 2 == 0
    task = Detection(classes="hard_negatives")
    with torch.no_grad():
        logits[0, hard, 0] = 3.0
    targets = [(torch.zeros((0, 4)), torch.zeros(0, dtype=torch.int64))]
    task.loss(logits, grid[None], grid, (16,), targets)["classes"].backward()
    assert (logits.grad[0, hard] > 0).all()


def test_overlaps_by_hand():
    one = torch.tensor([[0.0, 0, 0, 2, 2, 2]])
    other = torch.tensor([[1.0, 0, 0, 3, 2, 2], [5, 5, 5, 6, 6, 6]])
    torch.testing.assert_close(iou_table(one, other), torch.tensor([[4 / 12, 0.0]]))
    torch.testing.assert_close(pairwise_iou(one, other[:1]), torch.tensor([1 / 3]))
    torch.testing.assert_close(pairwise_giou(one, other[1:]), torch.tensor([9 / 216 - 1]))
