"""How much of many images, or of fully painted ones, a pixel classifier looks at."""

import numpy as np

from napari_medseg.models.nets.sketch import SketchNetwork
from napari_medseg.tasks import UNLABELLED
from napari_medseg.training.sketch.features import ALL_BYTES, CUBE, LIMIT_BYTES, FeatureCache, Share, caches
from napari_medseg.training.sketch.lesson import MOST_STROKES, prepare_lesson


def network() -> SketchNetwork:
    return SketchNetwork(
        dims=3,
        in_channels=1,
        out_channels=2,
        scales=(0.7,),
        edges=(1.0, 1.0, 1.0),
        bins=4,
        hidden=8,
        smoothing=0.0,
    )


def cache(shape: tuple[int, int, int]) -> FeatureCache:
    return FeatureCache(network(), np.zeros((1, *shape), np.float32), planar=False)


def test_that_a_few_strokes_are_all_looked_at() -> None:
    voxels = np.argwhere(np.ones((3, 4, 5), bool))
    found = cache((48, 48, 48)).some(voxels, np.zeros(60, int), Share.of(1, 1000), np.random.default_rng(0))
    np.testing.assert_array_equal(found, np.arange(60))


def test_that_a_painted_volume_is_looked_at_in_few_places_with_every_class() -> None:
    image = cache((24 * 6, 24 * 6, 24 * 6))
    voxels = np.stack(np.meshgrid(*[np.arange(0, 144, 4)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    # the second class lies in one of 216 parts alone
    classes = (voxels < 24).all(axis=1).astype(int)
    found = image.some(voxels, classes, Share(voxels=100_000, cells=10), np.random.default_rng(0))
    cells = np.unique(voxels[found] // np.array(CUBE), axis=0)
    assert len(cells) <= 10
    assert set(classes[found]) == {0, 1}


def test_that_many_images_share_what_one_may_take() -> None:
    assert Share.of(1, 50_000) == Share(50_000, 400)
    assert Share.of(20, 50_000) == Share(2500, 20)
    assert Share.of(1000, 50_000) == Share(200, 4)
    many = caches(network(), [np.zeros((1, 8, 8, 8), np.float32)] * 16, planar=False)
    assert [image._limit for image in many] == [ALL_BYTES // 16] * 16
    assert caches(network(), [np.zeros((1, 8, 8, 8), np.float32)], planar=False)[0]._limit == LIMIT_BYTES


def test_that_a_lesson_from_many_painted_volumes_stays_small() -> None:
    rng = np.random.default_rng(0)
    images = [rng.normal(size=(1, 24, 48, 48)).astype(np.float32) for _ in range(12)]
    targets = [np.where(image[0] > 0, 1, 0).astype(np.int16) for image in images]
    targets.append(np.full((24, 48, 48), UNLABELLED, np.int16))
    features = caches(network(), [*images, images[0]], planar=False)
    lesson = prepare_lesson(features, targets, 0)
    assert len(lesson.classes) == 12 * (MOST_STROKES // 12)
    assert 0.4 < lesson.classes.mean() < 0.6
