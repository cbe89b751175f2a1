"""Every file of pydicom's own test set loads with pydicom's pixels, or is refused with one clear error."""

import warnings
from pathlib import Path

import numpy as np
import pytest
from pydicom import Dataset, dcmread
from pydicom.data import get_testdata_files
from pydicom.pixels import apply_color_lut, apply_rescale

from napari_medseg import read
from napari_medseg.errors import ReadError
from napari_medseg.io import scan
from napari_medseg.volume import Volume

FILES = sorted({Path(name) for name in get_testdata_files() if Path(name).is_file()})
BOTH_REFUSE = {
    "MR_truncated.dcm": "truncated",
    "rtplan_truncated.dcm": "truncated",
}
OURS_REFUSE = {"liver_1frame.dcm": "describes 3 frames", "liver_expb_1frame.dcm": "describes 3 frames"}
TWELVE_BITS = ("JPEG-lossy.dcm", "JPGExtended.dcm")
"""Which pydicom has no decoder for that may be shipped."""
SHAPED_BY_US = {"SEG", "RTDOSE"}


def expected_of(path: Path) -> tuple[Dataset, np.ndarray] | None:
    """Return header and values of a file as pydicom gives them, or None if it gives none."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            ds = dcmread(path, force=True)
            values = ds.pixel_array
        except Exception:  # noqa: BLE001 - whatever pydicom raises, it has no pixels to compare with
            return None
        if ds.PhotometricInterpretation == "PALETTE COLOR":
            coloured = apply_color_lut(values, ds)
            return ds, coloured >> 8 if coloured.dtype.itemsize == 2 else coloured
        return ds, apply_rescale(values, ds)


def loaded(path: Path) -> list[Volume] | ReadError:
    try:
        return read(path)
    except ReadError as error:
        return error


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_a_file_loads_right_or_is_refused(path: Path) -> None:
    volumes = loaded(path)
    if isinstance(volumes, ReadError):
        assert len(volumes.problem) > 20
        assert volumes.remedy
        known = BOTH_REFUSE | OURS_REFUSE
        assert known[path.name] in volumes.problem if path.name in known else expected_of(path) is None
        return
    assert [entry.shape for entry in scan(path)][:1] == [volumes[0].data.shape]
    expected = expected_of(path)
    if expected is None or expected[0].get("Modality") in SHAPED_BY_US or len(volumes) > 1:
        return
    ds, values = expected
    if ds.PhotometricInterpretation == "MONOCHROME1" and ds.Modality not in ("CT", "MR", "PT", "NM"):
        stored = 2**ds.BitsStored - 1 - ds.pixel_array.astype(int)
        values = apply_rescale(stored, ds)
    # Slices may come in another order and axes: the same numbers as often is what can be said of any file.
    ours = np.asarray(volumes[0].data)
    assert ours.size == values.size
    np.testing.assert_allclose(np.sort(ours, axis=None), np.sort(values, axis=None), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", TWELVE_BITS)
def test_lossy_pictures_of_twelve_bits(name: str) -> None:
    """The two pixels are those that pydicom's own tests take from another viewer."""
    (volume,) = read(next(path for path in FILES if path.name == name))
    assert volume.data.shape == (1024, 256)
    assert (volume.data[420, 140], volume.data[230, 120], volume.data.max()) == (244, 95, 264)
