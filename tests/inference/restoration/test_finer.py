"""Volumes made finer: the right place, in agreement with the slices, whatever the order of the axes."""

from dataclasses import replace

import numpy as np
import pytest

from napari_medseg.errors import BundleError, DataError
from napari_medseg.inference.restoration.applying import tiles
from napari_medseg.inference.restoration.finer import refine
from napari_medseg.inference.restoration.options import FinerOptions
from napari_medseg.models import Bundle, ModelSpec, build
from napari_medseg.progress import Finished
from napari_medseg.volume import Geometry, Volume
from napari_medseg.volume.sampling import AxisSampling, coarser


def untrained(factor, dims=None, axcodes=None):
    spec = ModelSpec(
        name="fine", architecture="subpixel", options={"features": 4, "blocks": 1, "factor": factor},
        task="superresolution", dims=dims or len(factor), classes=(), axcodes=axcodes, patch_size=(16,) * len(factor),
    )  # fmt: skip
    return Bundle.create(spec, build(spec).state_dict())


def done(volume, bundle, **options):
    (result,) = [e.result for e in refine(volume, bundle, FinerOptions(**options)) if isinstance(e, Finished)]
    return result


@pytest.fixture
def thick():
    z, y, x = np.indices((30, 20, 22))
    values = (1000 + 500 * np.sin(z / 3) * np.cos(y / 4) + 200 * np.sin(x / 3)).astype(np.float32)
    slices = coarser(values, [AxisSampling(3), AxisSampling(1), AxisSampling(1)], (10, 20, 22))
    grid = Geometry(slices.shape, np.array([[0, 0, 1.0, 5], [0, 1.0, 0, 6], [3.0, 0, 0, 7], [0, 0, 0, 1]]))
    return Volume(np.rint(slices).astype(np.int16), grid, name="MR 1", modality="MR", units="a.u.")


def test_it_agrees_with_the_slices_and_says_what_was_done(thick):
    result = done(thick, untrained((3, 1)))
    image = result.image
    assert image.data.shape == (30, 20, 22)
    assert image.data.dtype == np.int16
    assert image.modality == "MR"
    assert image.geometry.spacing == pytest.approx((1, 1, 1))
    assert "synthesised" in image.name
    assert image.derivation.startswith("SYNTHESISED: 3 x 1 x 1 times finer by the model fine")
    back = coarser(np.asarray(image.data), [AxisSampling(3), AxisSampling(1), AxisSampling(1)], (10, 20, 22))
    assert np.abs(back - thick.data).max() < 3
    assert result.report["residual"] < result.report["residual_before"]
    assert result.spread.data.shape == image.data.shape
    assert np.asarray(result.spread.data).max() < 1e-2 * 500, "an untrained network says the same from all sides"


@pytest.mark.parametrize("order", [(1, 0, 2), (2, 1, 0), (1, 2, 0)])
def test_the_order_of_the_axes_does_not_matter(thick, order):
    straight = done(thick, untrained((3, 1)))
    turned = replace(thick, data=thick.data.transpose(order), geometry=thick.geometry.transposed(order))
    found = done(turned, untrained((3, 1)))
    assert np.abs(np.asarray(found.image.data) - np.asarray(straight.image.data).transpose(order)).max() <= 1
    assert found.image.geometry.matches(straight.image.geometry.transposed(order))
    # A network of volumes has factors along the patient's axes: head-feet here.
    solid = done(thick, untrained((3, 1, 1), axcodes="SPL"))
    other = done(turned, untrained((3, 1, 1), axcodes="SPL"))
    assert np.abs(np.asarray(other.image.data) - np.asarray(solid.image.data).transpose(order)).max() <= 1


def test_a_factor_between_whole_ones(thick):
    result = done(thick, untrained((3, 1)), factor=2.4)
    assert result.image.data.shape == (24, 20, 22)
    assert result.image.geometry.spacing[0] == pytest.approx(1.25)
    with pytest.raises(BundleError, match=r"above 2 and up to 3"):
        done(thick, untrained((3, 1)), factor=1.5)


def test_planes_and_what_does_not_fit(thick):
    plane = Volume(np.asarray(thick.data[0]), None, name="photo")
    assert done(plane, untrained((2, 2))).image.data.shape == (40, 44)
    with pytest.raises(BundleError, match="is for plane images"):
        done(thick, untrained((2, 2)))
    with pytest.raises(DataError, match="time"):
        done(
            Volume(np.zeros((2, 4, 8, 8)), thick.geometry.cropped((0, 0, 0), (4, 8, 8)), axes=("time",)),
            untrained((3, 1)),
        )


def test_tiles_cover_everything_once(monkeypatch, thick):
    whole = done(thick, untrained((3, 1, 1)), consistency=False)
    monkeypatch.setattr("napari_medseg.inference.restoration.applying.TILE_VOXELS", 1000)
    assert len(tiles((10, 20, 22))) > 4
    parts = done(thick, untrained((3, 1, 1)), consistency=False)
    np.testing.assert_allclose(parts.image.data, whole.image.data, atol=1)
