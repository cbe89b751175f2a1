"""Views of images and their boxes stay together."""

import numpy as np
import pytest
import torch

from napari_medseg.prediction import Boxes
from napari_medseg.training.detection.augment import Change, mosaic, seen
from napari_medseg.training.detection.material import Example
from napari_medseg.volume import LabelClass

CELL = LabelClass(value=5, name="cell")


def example(shape, *boxes):
    values = np.zeros((1, *shape), np.float16)
    for low, high in boxes:
        values[(0, *(slice(a, b) for a, b in zip(low, high, strict=True)))] = 1
    edges = np.array(boxes, float).reshape(-1, 2, len(shape))
    return Example("a", values, Boxes(edges, np.full(len(edges), 5), np.ones(len(edges)), (CELL,)))


def bounds(values):
    """Return where the bright part is."""
    places = np.argwhere(values[0].numpy() > 0.5)
    return np.concatenate([places.min(axis=0), places.max(axis=0) + 1])


@pytest.mark.parametrize("turn", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_mirrored_and_turned_boxes_are_exact(seed, turn):
    one = example((24, 40), ((3, 30), (9, 34)))
    shape = (40, 24) if turn else (24, 40)
    values, edges, labels, _masks = seen(one, shape, Change(flips=True), turn, np.random.default_rng(seed))
    np.testing.assert_allclose(edges[0].numpy(), bounds(values), atol=1e-4)
    assert labels.tolist() == [0]
    assert float(values.sum()) == pytest.approx(24)


@pytest.mark.parametrize("seed", range(4))
def test_scaled_parts_of_volumes(seed):
    one = example((30, 60, 60), ((10, 20, 30), (18, 32, 44)))
    values, edges, _labels, _masks = seen(
        one, (24, 32, 32), Change(flips=True, scale=1.3), False, np.random.default_rng(seed)
    )
    assert len(edges) <= 1
    if len(edges) and edges.min() > 0 and (edges[0, 3:] < torch.tensor([24, 32, 32])).all():
        np.testing.assert_allclose(edges[0].numpy(), bounds(values), atol=1.01)


def test_larger_images_show_some_box_most_of_the_time():
    one = example((400, 400), ((10, 350), (20, 360)))
    rng = np.random.default_rng(0)
    shown = sum(len(seen(one, (64, 64), Change(), False, rng)[1]) for _ in range(40))
    assert 20 <= shown <= 36


def test_a_turned_box_is_fitted_to_what_fills_it():
    size = 101
    y, x = np.indices((size, size)) - size // 2
    values = ((y / 12) ** 2 + (x / 30) ** 2 <= 1).astype(np.float16)[None]
    edges = np.array([[[38.0, 20], [63, 81]]])
    one = Example("a", values, Boxes(edges, np.array([5]), np.ones(1), (CELL,)))
    for seed in range(4):
        view, found, _labels, _masks = seen(one, (size, size), Change(rotation=40), False, np.random.default_rng(seed))
        np.testing.assert_allclose(found[0].numpy(), bounds(view), atol=1.5)


def test_what_is_hardly_visible_is_no_target():
    one = example((20, 20), ((0, 0), (4, 4)))
    one = Example("a", one.values, Boxes(np.array([[[-8.0, 0], [2, 4]]]), np.array([5]), np.ones(1), (CELL,)))
    assert len(seen(one, (20, 20), Change(), False, np.random.default_rng(0))[1]) == 0


def test_intensities_change_and_places_do_not():
    one = example((16, 16), ((4, 4), (8, 8)))
    values, edges, _labels, _masks = seen(one, (16, 16), Change(intensity=True), False, np.random.default_rng(1))
    assert edges[0].tolist() == [4, 4, 8, 8]
    assert len(set(values.numpy().round(4).ravel().tolist())) == 2
    assert float(values.max() - values.min()) != 1


def test_a_mosaic_keeps_boxes_on_their_things():
    parts = [example((20, 20), ((k, 2 * k), (k + 6, 2 * k + 5))) for k in range(4)]
    for seed in range(3):
        values, edges, labels, masks = mosaic(parts, (80, 80), Change(), False, np.random.default_rng(seed))
        assert (len(labels), masks) == (4, None)
        torch.testing.assert_close(edges[:, 2:] - edges[:, :2], torch.tensor([[6.0, 5]] * 4))
        assert float(values.sum()) == pytest.approx(4 * 30, abs=0.1)
        for (top, left), (bottom, right) in zip(edges[:, :2].floor().int(), edges[:, 2:].ceil().int(), strict=True):
            assert float(values[0, top:bottom, left:right].sum()) == pytest.approx(30, abs=0.01)


def test_where_the_parts_of_a_mosaic_meet():
    class Middle:
        """Instead of chance: parts meet in the middle, and each image begins at the corner of its part."""

        def integers(self, low, high):
            return (low + high) // 2

        def random(self, size=None):
            return 1.0 if size is None else np.zeros(size)

        def uniform(self, low, high, size=None):
            return (low + high) / 2 if size is None else np.full(size, (low + high) / 2)

    parts = [example((20, 20), ((3, 4), (7, 9))) for _ in range(4)]
    _values, edges, _labels, _masks = mosaic(parts, (40, 40), Change(), False, Middle())
    assert edges.tolist() == [[3, 4, 7, 9], [3, 24, 7, 29], [23, 4, 27, 9], [23, 24, 27, 29]]


@pytest.mark.parametrize("turn", [False, True])
def test_masks_go_with_their_image(turn):
    things = np.zeros((24, 40), np.int32)
    things[3:9, 30:34] = 1
    things[12:20, 5:9] = 2
    things[12:14, 9:11] = 2
    values = (things == 2).astype(np.float16)[None]
    edges = np.array([[[3.0, 30], [9, 34]], [[12, 5], [20, 11]]])
    one = Example("a", values, Boxes(edges, np.full(2, 5), np.ones(2), (CELL,)), things)
    shape = (40, 24) if turn else (24, 40)
    for seed in range(4):
        view = seen(one, shape, Change(flips=True), turn, np.random.default_rng(seed))
        np.testing.assert_array_equal(view.masks[1].numpy(), view.values[0].numpy() > 0.5)
        assert view.masks.sum(dim=(1, 2)).tolist() == [24, 36]
        np.testing.assert_array_equal(view.edges[1].numpy(), bounds(view.values))
