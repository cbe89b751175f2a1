"""Series in time and colours are enhanced frame by frame; nothing falls below what an image can hold."""

import numpy as np
import pytest

from napari_medseg.inference.restoration.restored import floor_of
from napari_medseg.progress import Control, Finished
from napari_medseg.training.restoration.jobs import enhance
from napari_medseg.volume import Geometry, Volume

QUICK = {"minutes": None, "steps": 2, "views": 1, "device": "cpu"}


def result_of(volume, method, settings):
    (result,) = [e.result for e in enhance(volume, method, settings, Control()) if isinstance(e, Finished)]
    return result


def series(frames, spacing):
    random = np.random.default_rng(0)
    data = (1000 * random.random((frames, 6, 20, 22))).astype(np.uint16)
    return Volume(data, Geometry((6, 20, 22), np.diag([1, 1, spacing, 1])[[2, 1, 0, 3]].T), "MR 1", axes=("time",))


def test_every_frame_is_made_finer_by_what_one_taught():
    volume = series(3, 2.4)
    settings = {**QUICK, "features": 4, "blocks": 1}
    restored, bundle = result_of(volume, "superresolution", settings)
    assert restored.image.data.shape == (3, 14, 20, 22)
    assert restored.image.data.dtype == np.uint16
    assert restored.image.axes == restored.spread.axes == ("time",)
    assert restored.image.derivation.endswith("So was each frame of 3.")
    assert bundle.spec.options["factor"] == [3, 1]
    assert restored.report["steps"] == 2
    middle, _ = result_of(Volume(volume.data[1], volume.geometry, "MR 1"), "superresolution", settings)
    np.testing.assert_array_equal(restored.image.data[1], middle.image.data)


def test_colours():
    photo = Volume(np.random.default_rng(0).integers(0, 255, (24, 26, 3), np.uint8), None, "skin", rgb=True)
    restored, _ = result_of(photo, "denoise", QUICK)
    assert restored.image.rgb
    assert restored.image.data.shape == (24, 26, 3)
    assert restored.image.data.dtype == np.uint8
    assert restored.spread is None, "of one view"
    median, network = result_of(photo, "median", {})
    assert network is None
    assert median.image.derivation.endswith("So was each colour of 3.")


@pytest.mark.parametrize("columns", [3, 4])
def test_few_columns_are_no_colours(columns):
    volume = Volume(np.random.default_rng(0).random((6, 5, columns)), None, "small")
    restored, _ = result_of(volume, "clahe", {})
    assert restored.image.data.shape == volume.data.shape


def test_gaps_stay_empty():
    data = np.random.default_rng(0).normal(1000, 10, (8, 20, 20)).astype(np.float32)
    data[:, :4] = np.nan
    volume = Volume(data, Geometry(data.shape, np.diag([2.0, 1, 1, 1])), "MR 1")
    restored, _ = result_of(volume, "superresolution", {**QUICK, "features": 4, "blocks": 1})
    found = np.asarray(restored.image.data)
    assert np.isnan(found[:, :4]).all()
    assert found[:, 4:].min() > 900, "nothing reaches in from outside"


def test_below_what_there_is_nothing():
    values = np.linspace(-900, 1000, 1000, dtype=np.float32)
    assert floor_of(values, Volume(values[None], None, modality="CT")) == -1024
    assert floor_of(values, Volume(values[None], None)) == -np.inf
    assert floor_of(values + 900, Volume(values[None], None)) == 0
    air = np.where(values < 0, np.float32(-2000), values)
    assert floor_of(air, Volume(air[None], None, modality="CT")) == -2000
