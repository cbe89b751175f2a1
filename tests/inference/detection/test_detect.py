"""Tiles cover images, boxes come back to the image's own voxels, and several of one thing become one."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from napari_medseg.errors import BundleError
from napari_medseg.inference.detection import detect as module
from napari_medseg.inference.detection.detect import boxes_in, detect
from napari_medseg.inference.detection.merging import merged
from napari_medseg.inference.detection.options import DetectOptions
from napari_medseg.inference.detection.tiles import tiles_of
from napari_medseg.inference.detection.views import view_of
from napari_medseg.models import Bundle, ModelSpec, build
from napari_medseg.models.nets.detectors.anchored import AnchoredDetector, RawBoxes
from napari_medseg.prediction import Boxes
from napari_medseg.progress import Control, Finished
from napari_medseg.volume import Geometry, LabelClass, Volume

CELL, BUD = LabelClass(value=3, name="cell"), LabelClass(value=7, name="bud")
CPU = torch.device("cpu")


def spec_of(dims=2, **fields):
    given = {"axcodes": None, "patch_size": (64,) * dims, "options": {"width": 8, "body": 4}} | fields
    return ModelSpec(name="finder", architecture="onestage", task="detection", dims=dims, classes=(CELL, BUD), **given)


class Bright(AnchoredDetector):
    """Stands in for a network: finds bright blocks by their voxels; wide ones are buds."""

    def __init__(self) -> None:
        nn.Module.__init__(self)
        self.strides, self.calls = (8,), []

    def forward(self, images):
        from scipy import ndimage

        self.calls.append(tuple(images.shape))
        assert all(n % 16 == 0 for n in images.shape[2:])
        numbered, _count = ndimage.label(images[0, 0].numpy() > 0.5)
        edges = [[*(s.start for s in box), *(s.stop for s in box)] for box in ndimage.find_objects(numbered)]
        boxes = torch.tensor(edges, dtype=torch.float32).reshape(1, -1, 2 * (images.ndim - 2))
        logits = torch.full((1, boxes.shape[1], 2), -9.0)
        for number, box in enumerate(boxes[0]):
            wide = box[-1] - box[images.ndim - 3] > 12
            logits[0, number, int(wide)] = 2.0
        return RawBoxes(logits, boxes, boxes[0], (boxes.shape[1],))


def boxes_of(edges, scores, labels=None):
    return Boxes(np.array(edges, float), np.full(len(edges), 3) if labels is None else labels, scores, (CELL, BUD))


def found_in(image, spec, network, **options):
    view = view_of(Volume(image, None), spec)
    events = boxes_in(view, network, spec, DetectOptions(precision="float32", **options), Control(), CPU)
    while True:
        try:
            next(events)
        except StopIteration as stop:
            return view.own(stop.value)


def test_the_surest_stays_or_all_that_overlap_it_are_averaged():
    edges = [[[0, 0], [10, 10]], [[0, 1], [10, 11]], [[0, 0], [10, 10]], [[30, 30], [40, 40]]]
    boxes = boxes_of(edges, [0.9, 0.3, 0.8, 0.5], [3, 3, 7, 3])
    sharp, fused = merged(boxes, 0.5, "nms"), merged(boxes, 0.5, "fusion")
    for found in (sharp, fused):
        assert found.scores.tolist() == [0.9, 0.8, 0.5]
        assert found.labels.tolist() == [3, 7, 3]
    np.testing.assert_allclose(sharp.edges[0], edges[0], atol=1e-9)
    np.testing.assert_allclose(fused.edges[0], [[0, 0.25], [10, 10.25]])
    assert len(merged(boxes, 0.9, "nms")) == 4
    assert len(merged(boxes, 0.5, most=1)) == 1
    assert len(merged(Boxes.none(3, (CELL,)), 0.5)) == 0


@pytest.mark.parametrize("size", [10, 60, 61, 100, 143, 500])
def test_each_place_is_in_the_core_of_some_tile_and_things_are_whole(size):
    tiles = tiles_of([size], [60], [20])
    for middle in np.arange(0, size + 0.1, 0.5):
        having = [t for t in tiles if t.core[0][0] <= middle <= t.core[0][1]]
        assert having
        low, high = max(middle - 8, 0), min(middle + 8, size)
        assert all(t.start[0] <= low and t.stop[0] >= high for t in having)
    assert all(t.stop[0] - t.start[0] == min(size, 60) for t in tiles)


@pytest.mark.parametrize("flips", [False, True])
def test_large_images_give_what_they_give_as_a_whole(flips):
    image = np.zeros((200, 300), np.float32)
    expected = []
    for y, x, h, w in ((0, 0, 6, 5), (60, 59, 8, 10), (120, 118, 9, 14), (191, 280, 9, 20), (57, 200, 12, 12)):
        image[y : y + h, x : x + w] = 1
        expected.append(([[y, x], [y + h, x + w]], 7 if w > 12 else 3))
    spec = spec_of(intensity={"kind": "fixed", "low": 0, "high": 1}, patch_size=(64, 64))
    network = Bright()
    found = found_in(image, spec, network, flips=flips)
    got = sorted(zip(found.edges.tolist(), found.labels.tolist(), strict=True))
    assert got == sorted(expected)
    assert len(network.calls) > 12
    assert max(network.calls) == (1, 1, 64, 64)


def test_zoomed_planes_come_back_to_their_pixels():
    image = np.zeros((40, 61), np.float32)
    image[8:16, 20:32] = 1
    spec = spec_of(intensity={"kind": "fixed", "low": 0, "high": 1}, zoom=2.0)
    found = found_in(image, spec, Bright())
    np.testing.assert_allclose(found.edges, [[[8, 20], [16, 32]]], atol=0.26)
    view = view_of(Volume(image, None), spec_of(zoom=0.5))
    assert view.shape == (20, 30)
    box = boxes_of([[[8, 20], [16, 32]]], [1.0])
    np.testing.assert_allclose(view.own(view.seen(box)).edges, box.edges)


def test_volumes_come_back_through_flips_and_other_voxels(monkeypatch):
    data = np.zeros((10, 40, 30), np.float32)
    data[4:6, 10:20, 22:26] = 1000
    affine = np.array([[0, 0, 1.0, 5], [0, -1.0, 0, 9], [3.0, 0, 0, -7], [0, 0, 0, 1]])
    volume = Volume(data, Geometry(data.shape, affine))
    spec = spec_of(3, axcodes="SPL", spacing=(1.0, 1.0, 1.0), patch_size=(32, 32, 32),
                   intensity={"kind": "window", "low": 0, "high": 1000})  # fmt: skip
    bundle = Bundle.create(spec, build(spec).state_dict())
    monkeypatch.setattr(module, "_network", lambda _bundle, _options: (Bright(), CPU))
    *_, done = detect(volume, bundle, DetectOptions(precision="float32"))
    assert isinstance(done, Finished)
    [edges] = done.result.boxes.edges
    np.testing.assert_allclose(edges[:, 1:], [[10, 22], [20, 26]], atol=1e-6)
    np.testing.assert_allclose(edges[:, 0], [4, 6], atol=0.51)
    assert done.result.geometry == volume.geometry


def test_a_bundle_for_another_task_is_refused():
    spec = ModelSpec(name="other", architecture="unet", options={"features": 2})
    with pytest.raises(BundleError, match="is for segmentation"):
        list(detect(Volume(np.zeros((8, 8, 8)), None), Bundle.create(spec, {})))


def test_boxes_below_the_threshold_are_left_out():
    image = np.zeros((40, 40), np.float32)
    image[8:16, 20:30] = 1
    spec = spec_of(intensity={"kind": "fixed", "low": 0, "high": 1})
    assert len(found_in(image, spec, Bright(), threshold=0.8)) == 1
    assert len(found_in(image, spec, Bright(), threshold=0.9)) == 0


def test_a_part_of_a_view_is_cut_at_the_border():
    view = view_of(Volume(np.zeros((20, 20), np.float32), None), spec_of())
    outside = replace(boxes_of([[[-3, -3], [4, 4]]], [1.0]))
    assert view.own(outside).edges.tolist() == [[[0, 0], [4, 4]]]


def test_as_a_job(tmp_path):
    from napari_medseg.errors import ConfigError
    from napari_medseg.inference.detection.jobs import detect_volume
    from napari_medseg.io import write

    spec = spec_of()
    Bundle.create(spec, build(spec).state_dict()).save(tmp_path / "bundle")
    image = write(Volume(np.zeros((32, 40), np.uint8), None), tmp_path / "image.tif")
    *_, done = detect_volume(Control(), image, tmp_path / "bundle", {"threshold": 0.0, "device": "cpu", "most": 5})
    boxes = done.result.boxes
    assert (boxes.axes, [c.name for c in boxes.classes]) == (2, ["cell", "bud"])
    assert len(boxes) == 5
    with pytest.raises(ConfigError, match="detection's iou cannot be 2"):
        list(detect_volume(Control(), image, tmp_path / "bundle", {"iou": 2}))
