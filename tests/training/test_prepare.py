from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from napari_medseg import io
from napari_medseg.errors import ConfigError, DataError, GeometryError
from napari_medseg.inference.preprocess import to_model_grid
from napari_medseg.models import ModelSpec
from napari_medseg.training import Case, RunFolder, TrainConfig
from napari_medseg.training.prepare import flip_axes, grid_map, load_case, patched
from napari_medseg.volume import Geometry, LabelClass, Volume

CLASSES = (LabelClass(value=0, name="background"), LabelClass(value=1, name="blob"))
SPEC = ModelSpec(name="m", architecture="unet", classes=CLASSES, patch_size=(8, 8, 8))


def write_case(folder: Path, image: Volume, labels: Volume, scheme: str = "sparse") -> Case:
    io.write(image, folder / "image.medvol")
    io.write(labels, folder / "labels.medvol")
    return Case(id="case", image=folder / "image.medvol", labels=folder / "labels.medvol", scheme=scheme)  # type: ignore[arg-type]


def oblique() -> Geometry:
    """A grid stored (x, z, y), tilted by 20 degrees, with z reversed."""
    c, s = np.cos(np.radians(20)), np.sin(np.radians(20))
    affine = np.eye(4)
    affine[:3, 0] = [0.7, 0, 0]
    affine[:3, 1] = np.array([0, s, -c]) * 3.0
    affine[:3, 2] = np.array([0, c, s]) * 0.9
    return Geometry((10, 8, 12), affine)


def test_labels_land_on_the_voxels_that_they_were_painted_on(tmp_path: Path) -> None:
    geometry = oblique()
    rng = np.random.default_rng(0)
    values = rng.integers(0, 2, geometry.shape)
    image = Volume(np.where(values == 1, 100.0, rng.uniform(0, 50, geometry.shape)).astype(np.float32), geometry)
    labels = np.where(rng.random(geometry.shape) < 0.3, np.where(values == 1, 1, 255), 0).astype(np.uint8)
    sample = load_case(write_case(tmp_path, image, Volume(labels, geometry, kind="labels")), SPEC).sample
    threshold = sample.image[0][sample.target == 1].min()
    assert (sample.target >= 0).sum() == (labels > 0).sum()
    assert (sample.image[0][sample.target == 0] < threshold).all()


@pytest.mark.parametrize("spacing", [(1.5, 0.6, 1.1), (6.0, 2.0, 2.0), (3.0, 0.9, 0.7)])
def test_resampled_grids_take_the_nearest_label(spacing: tuple[float, float, float]) -> None:
    geometry = oblique()
    # The value of each voxel is its own number, so every grid voxel tells where its label came from.
    numbers = np.arange(np.prod(geometry.shape)).reshape(geometry.shape)
    grid = to_model_grid(Volume(numbers.astype(np.float32), geometry), SPEC.model_copy(update={"spacing": spacing}))
    assert grid.geometry is not None
    moved = grid_map(grid).apply(numbers, outside=-1)
    assert moved.shape == grid.shape
    points = grid.geometry @ np.moveaxis(np.indices(grid.shape), 0, -1)
    exact = geometry.to_index(points)
    inside = moved >= 0
    found = np.stack(np.unravel_index(moved[inside], geometry.shape), axis=-1)
    assert np.abs(found - exact[inside]).max() <= 0.5 + 1e-5
    outside = ((exact < -0.5 + 1e-5) | (exact > np.array(geometry.shape) - 0.5 - 1e-5)).any(axis=-1)
    assert outside[~inside].all()


def test_a_plane_is_a_volume_of_one_slice(tmp_path: Path) -> None:
    image = Volume(np.random.default_rng(0).random((9, 11), dtype=np.float32), None)
    labels = np.zeros((9, 11), np.uint8)
    labels[2, 3:5], labels[7, 3:5] = 1, 255
    spec = SPEC.model_copy(update={"dims": 2, "patch_size": (8, 8), "axcodes": None})
    sample = load_case(write_case(tmp_path, image, Volume(labels, None, kind="labels")), spec).sample
    assert sample.image.shape == (1, 1, 9, 11)
    np.testing.assert_array_equal(sample.target[0, 2, 3:5], [1, 1])
    np.testing.assert_array_equal(sample.target[0, 7, 3:5], [0, 0])


def test_colours_are_channels(tmp_path: Path) -> None:
    image = Volume(np.random.default_rng(0).integers(0, 255, (9, 11, 3), dtype=np.uint8), None, rgb=True)
    labels = Volume(np.ones((9, 11), np.uint8), None, kind="labels")
    spec = SPEC.model_copy(update={"dims": 2, "patch_size": (8, 8), "axcodes": None, "channels": 3})
    assert load_case(write_case(tmp_path, image, labels), spec).sample.image.shape == (3, 1, 9, 11)


def test_labels_that_lie_elsewhere_are_refused(tmp_path: Path) -> None:
    image = Volume(np.zeros((8, 9, 10), np.float32), Geometry((8, 9, 10), np.eye(4)[[2, 1, 0, 3]]))
    affine = image.geometry.affine.copy()  # type: ignore[union-attr]
    affine[:3, 3] += (0, 0, 1)
    shifted = Geometry((8, 9, 10), affine)
    with pytest.raises(GeometryError, match=r"case: .*elsewhere"):
        load_case(write_case(tmp_path, image, Volume(np.zeros((8, 9, 10), np.uint8), shifted, kind="labels")), SPEC)


def test_labels_whose_axes_run_the_other_way_are_turned(tmp_path: Path) -> None:
    geometry = oblique()
    image = Volume(np.zeros(geometry.shape, np.float32), geometry)
    painted = np.zeros(geometry.shape, np.uint8)
    painted[2:4, 5, 1] = 1
    as_drawn = load_case(write_case(tmp_path, image, Volume(painted, geometry, kind="labels"), "dense"), SPEC)
    turned = Volume(np.flip(painted, (0, 2)), geometry.flipped(0).flipped(2), kind="labels")
    (tmp_path / "turned").mkdir()
    case = load_case(write_case(tmp_path / "turned", image, turned, "dense"), SPEC)
    assert (case.sample.target == 1).sum() == 2
    np.testing.assert_array_equal(case.sample.target, as_drawn.sample.target)
    np.testing.assert_array_equal(case.reread().values, painted)


def test_labels_of_another_size_are_refused(tmp_path: Path) -> None:
    image = Volume(np.zeros((8, 9, 10), np.float32), None)
    labels = Volume(np.zeros((8, 9, 11), np.uint8), None, kind="labels")
    with pytest.raises(DataError, match="11"):
        load_case(write_case(tmp_path, image, labels), SPEC.model_copy(update={"axcodes": None}))


def test_edits_on_disk_are_seen(make_run: Callable[..., RunFolder]) -> None:
    config = make_run().load()
    case = load_case(config.cases[0], config.spec)
    before = case.sample.target.copy()
    array = np.load(config.cases[0].labels / "data.npy", mmap_mode="r+")
    array[2, 2, 2:6] = 7
    array.flush()
    case.reread((2, 2, 2), (3, 3, 6))
    changed = before != case.sample.target
    assert changed.sum() == 4
    assert (case.sample.target[changed] == 2).all()


def test_mirroring_spares_left_and_right() -> None:
    spec = SPEC.model_copy(update={"axcodes": "SPL"})
    assert flip_axes(spec, TrainConfig()) == (0, 1, 2)
    for name in ("left kidney", "Kidney_R", "hippocampus-l", "LH cortex"):
        sided = spec.model_copy(update={"classes": (CLASSES[0], LabelClass(value=1, name=name))})
        assert flip_axes(sided, TrainConfig()) == (0, 1), name
    for name in ("liver", "rib", "bright lesion", "lung"):
        other = spec.model_copy(update={"classes": (CLASSES[0], LabelClass(value=1, name=name))})
        assert flip_axes(other, TrainConfig()) == (0, 1, 2), name
    assert flip_axes(spec, TrainConfig(flips=False)) == ()
    assert flip_axes(spec.model_copy(update={"dims": 2, "patch_size": (8, 8)}), TrainConfig()) == (1, 2)


def test_a_patch_size_needs_the_networks_dimensions() -> None:
    assert patched(SPEC, TrainConfig(patch_size=(16, 24, 32))).patch_size == (16, 24, 32)
    with pytest.raises(ConfigError, match="3 numbers"):
        patched(SPEC, TrainConfig(patch_size=(16, 16)))
