"""What is learned from noisy images: noise and its opposite, and planes in all orientations of cubes."""

import numpy as np
import pytest

from napari_medseg.inference.restoration.applying import EDGE
from napari_medseg.inference.restoration.neighbours import looks_alike, orders_of
from napari_medseg.models import ModelSpec
from napari_medseg.training.restoration.config import EnhancementConfig
from napari_medseg.training.restoration.material import Image
from napari_medseg.training.restoration.noisy import ADDED, noisy_pairs
from napari_medseg.volume import Geometry, Volume


def spec(**options):
    return ModelSpec(
        name="clean", architecture="subpixel", task="enhancement", dims=2, channels=3, classes=(), axcodes=None,
        patch_size=(12, 12), options={"factor": [1, 1], **options},
    )  # fmt: skip


def test_each_patch_comes_with_noise_and_its_opposite():
    image = np.random.default_rng(0).normal(100, 10, (20, 24, 30)).astype(np.float32)
    config = EnhancementConfig(level=5.0, batch_size=6)
    pairs = noisy_pairs(spec(), config, [Image(image, "")])
    batch = pairs.batch(3)
    assert batch.inputs.shape == (6, 3, 12, 12)
    assert batch.targets.shape == (6, 1, 12 - 2 * EDGE, 12 - 2 * EDGE)
    inside = batch.inputs[:, 1:2, EDGE:-EDGE, EDGE:-EDGE]
    np.testing.assert_allclose(inside[0] + inside[1], batch.targets[0] + batch.targets[1], atol=1e-4)
    # The noise in a target is that of its input, larger and of the other sign.
    clean = (inside[0] + inside[1]) / 2
    np.testing.assert_allclose(batch.targets[0] - clean, -(inside[0] - clean) / ADDED**2, atol=1e-4)
    np.testing.assert_array_equal(pairs.batch(3).inputs, batch.inputs)
    hidden = noisy_pairs(spec(), config.model_copy(update={"method": "noise2void"}), [Image(image, "")]).batch(3)
    assert hidden.inputs.shape == (6, 3, 12, 12)


def test_planes_in_all_orientations():
    image = np.zeros((20, 24, 30), np.float32)
    pairs = noisy_pairs(spec(turned=True), EnhancementConfig(level=5.0), [Image(image, "")])
    assert [part.values.shape for part in pairs.images] == [(20, 24, 30), (24, 20, 30), (30, 20, 24)]
    assert orders_of(turned=False) == ((0, 1, 2),)


@pytest.mark.parametrize(
    ("shape", "spacing", "alike"), [((20, 24, 30), 1.2, True), ((20, 24, 30), 3, False), ((9, 24, 30), 1, False)]
)
def test_where_planes_look_alike(shape, spacing, alike):
    volume = Volume(np.zeros(shape, np.float32), Geometry(shape, np.diag([spacing, 1, 1, 1])))
    assert looks_alike(volume) is alike
    assert not looks_alike(Volume(np.zeros(shape, np.float32), None))
