"""What scanners of different makers say in places of their own."""

import struct
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import ImplicitVRLittleEndian

from napari_medseg import read
from napari_medseg.volume import Volume

TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
OBLIQUE = 25


def write_volumes(
    folder: Path,
    phantoms: SimpleNamespace,
    volumes: np.ndarray,
    change: Callable[[Dataset, int], None],
    **elements: Any,
) -> np.ndarray:
    """Write (step, slice, row, column) as single MR slices, changed by step, and return their affine to LPS."""
    affine = phantoms.lps_affine((3.0, 2.0, 1.5), OBLIQUE)
    for step, volume in enumerate(volumes):
        for k, plane in enumerate(volume):
            number = step * len(volume) + k + 1
            ds = phantoms.slice_dataset(
                plane, **{"Modality": "MR", "InstanceNumber": number, **phantoms.plane_elements(affine, k), **elements}
            )
            change(ds, step)
            phantoms.save(ds, folder / f"{number:03d}.dcm")
    return affine


@pytest.fixture
def two(phantom: np.ndarray) -> np.ndarray:
    return np.stack([phantom, phantom + 1000])


def in_ras(affine: np.ndarray, along: tuple[float, float, float]) -> np.ndarray:
    """Return a direction along columns, rows and slices of the image as one in RAS+."""
    turned = along[0] * affine[:3, 2] / 1.5 + along[1] * affine[:3, 1] / 2.0 + along[2] * affine[:3, 0] / 3.0
    # The slices of the phantom grow along the normal or against it.
    normal = np.cross(affine[:3, 2] / 1.5, affine[:3, 1] / 2.0)
    turned += along[2] * (normal - affine[:3, 0] / 3.0)
    return turned * (-1, -1, 1) / np.linalg.norm(along)


def private(ds: Dataset, group: int, owner: str, **elements: tuple[str, Any]) -> None:
    block = ds.private_block(group, owner, create=True)
    for low, (vr, value) in elements.items():
        block.add_new(int(low[1:], 16), vr, value)


def csa(values: dict[str, list[str]]) -> bytes:
    """Return a Siemens CSA header of version 2."""
    out = b"SV10\4\3\2\1" + struct.pack("<II", len(values), 77)
    for name, texts in values.items():
        out += struct.pack("<64si4siii", name.encode(), len(texts), b"FD", 6, len(texts), 77)
        for text in texts:
            data = text.encode() + b"\0"
            out += struct.pack("<4i", len(data), len(data), 77, len(data)) + data + b"\0" * (-len(data) % 4)
    return out


def toshiba(ds: Dataset, step: int) -> None:
    ds.Manufacturer = "TOSHIBA_MEC"
    if step:
        ds.DiffusionBValue, ds.DiffusionGradientOrientation = 1000.0, [0.0, 0.6, 0.8]


def canon(ds: Dataset, step: int) -> None:
    ds.Manufacturer = "CANON_MEC"
    if step:
        ds.DiffusionBValue, ds.ImageComments = 1000.0, "b=1000(0.6,0.0,0.8)"


def uih(ds: Dataset, step: int) -> None:
    ds.Manufacturer = "UIH"
    private(ds, 0x65, "Image Private Header", x09=("FD", 1000.0 * step), x37=("FD", [0.6 * step, 0.0, 0.8 * step]))
    # also there, and wrong
    ds.DiffusionBValue, ds.DiffusionGradientOrientation = 1000.0 * step, [1.0, 0.0, 0.0]


def siemens(ds: Dataset, step: int) -> None:
    ds.Manufacturer, ds.ImageType = "SIEMENS", ["ORIGINAL", "PRIMARY", "DIFFUSION", "NONE", "ND"]
    values = {"B_value": ["1000" if step else "0"]} | (
        {"DiffusionGradientDirection": ["0", "0.6", "0.8"]} if step else {}
    )
    private(ds, 0x29, "SIEMENS CSA HEADER", x10=("OB", csa(values)))


def ge(ds: Dataset, step: int) -> None:
    ds.Manufacturer, ds.InPlanePhaseEncodingDirection = "GE MEDICAL SYSTEMS", "COL"
    private(ds, 0x43, "GEMS_PARM_01", x39=("IS", [1000001000 if step else 0, 8, 0, 0]))
    private(ds, 0x19, "GEMS_ACQU_01", xBB=("DS", 0.6 * step), xBC=("DS", 0.0), xBD=("DS", 0.8 * step))


def philips(ds: Dataset, step: int) -> None:
    ds.Manufacturer = "Philips Medical Systems"
    private(ds, 0x2001, "Philips Imaging DD 001", x03=("FL", 1000.0 * step))
    private(ds, 0x2005, "Philips MR Imaging DD 001", xB0=("FL", 0.0), xB1=("FL", 0.6 * step), xB2=("FL", 0.8 * step))


@pytest.mark.parametrize(
    ("maker", "frame", "along"),
    [
        (toshiba, "patient", (0.0, 0.6, 0.8)),
        (siemens, "patient", (0.0, 0.6, 0.8)),
        (philips, "patient", (0.0, 0.6, 0.8)),
        (canon, "image", (0.6, 0.0, 0.8)),
        (uih, "image", (0.6, 0.0, 0.8)),
        (ge, "image", (0.6, 0.0, -0.8)),
    ],
)
def test_every_maker_tells_its_diffusion_weighting(
    tmp_path: Path,
    phantoms: SimpleNamespace,
    two: np.ndarray,
    maker: Callable[[Dataset, int], None],
    frame: str,
    along: tuple[float, float, float],
) -> None:
    affine = write_volumes(tmp_path / "dwi", phantoms, two, maker)
    (volume,) = read(tmp_path / "dwi")
    np.testing.assert_array_equal(volume.data, two)
    assert volume.axes == ("b_value",)
    np.testing.assert_array_equal(volume.axis_values["b_value"], [0, 1000])
    expected = np.array(along) * (-1, -1, 1) if frame == "patient" else in_ras(affine, along)
    np.testing.assert_allclose(volume.axis_values["b_vector"], [np.zeros(3), expected], atol=1e-6)


def test_ge_tells_phase_from_magnitude_by_a_number(tmp_path: Path, phantoms: SimpleNamespace, two: np.ndarray) -> None:
    def change(ds: Dataset, step: int) -> None:
        ds.Manufacturer = "GE MEDICAL SYSTEMS"
        private(ds, 0x43, "GEMS_PARM_01", x2F=("SS", step))

    write_volumes(tmp_path / "ge", phantoms, two, change)
    volumes = {volume.name: volume for volume in read(tmp_path / "ge")}
    assert set(volumes) == {"MR 5", "MR 5 phase"}
    np.testing.assert_array_equal(volumes["MR 5"].data, two[0])
    np.testing.assert_array_equal(volumes["MR 5 phase"].data, two[1])


@pytest.mark.parametrize("count", [5, 6, 7])
def test_a_uih_grid_is_cut_and_placed_slice_by_slice(tmp_path: Path, phantoms: SimpleNamespace, count: int) -> None:
    slices = np.arange(count * 4 * 6, dtype=np.uint16).reshape(count, 4, 6)
    down, across = (2, 3) if count < 7 else (3, 3)
    picture = np.zeros((down * 4, across * 6), np.uint16)
    for number, plane in enumerate(slices):
        row, column = number // across * 4, number % across * 6
        picture[row : row + 4, column : column + 6] = plane
    affine = phantoms.lps_affine((3.0, 2.0, 1.5), OBLIQUE)
    ds = phantoms.slice_dataset(
        picture, Modality="MR", Manufacturer="UIH", ImageType=["ORIGINAL", "PRIMARY", "M", "VFRAME"],
        **phantoms.plane_elements(affine, 0),
    )  # fmt: skip
    places = [phantoms.plane_elements(affine, k)["ImagePositionPatient"] for k in range(count)]
    frames = Sequence([phantoms.item(ImagePositionPatient=place)[0] for place in places])
    private(ds, 0x65, "Image Private Header", x50=("DS", str(count)), x51=("SQ", frames))
    (volume,) = read(phantoms.save(ds, tmp_path / "grid.dcm"))
    assert isinstance(volume, Volume)
    np.testing.assert_array_equal(volume.data, slices)
    assert volume.geometry is not None
    np.testing.assert_allclose(volume.geometry.affine, TO_RAS @ affine, atol=1e-5)


def test_slices_that_only_call_themselves_a_mosaic_are_slices(
    tmp_path: Path, phantoms: SimpleNamespace, phantom: np.ndarray
) -> None:
    affine = write_volumes(
        tmp_path / "cut", phantoms, phantom[None], lambda _ds, _step: None, Manufacturer="Siemens Healthineers",
        ImageType=["ORIGINAL", "PRIMARY", "M", "ND", "MOSAIC"], AcquisitionMatrix=[8, 0, 0, 7],
    )  # fmt: skip
    (volume,) = read(tmp_path / "cut")
    np.testing.assert_array_equal(volume.data, phantom)
    assert volume.geometry is not None
    np.testing.assert_allclose(volume.geometry.affine, TO_RAS @ affine, atol=1e-5)


def test_frames_that_two_dimensions_tell_apart_only_together(
    tmp_path: Path, phantoms: SimpleNamespace, phantom: np.ndarray
) -> None:
    affine = phantoms.lps_affine((3.0, 1.0, 2.0))
    frames, groups = [], []
    # echo train and cardiac phase, each of two values, with the slices running fastest, slowest, and in between
    order = [(a, b, k) for b in range(2) for k in range(6) for a in range(2)]
    for a, b, k in order:
        frames.append(phantom[k] + 1000 * (2 * a + b))
        content = phantoms.item(DimensionIndexValues=[a + 1, b + 1, k + 1])
        place = phantoms.item(ImagePositionPatient=phantoms.plane_elements(affine, k)["ImagePositionPatient"])
        groups.append(phantoms.item(FrameContentSequence=content, PlanePositionSequence=place)[0])
    elements = phantoms.plane_elements(affine, 0)
    shared = phantoms.item(
        PlaneOrientationSequence=phantoms.item(ImageOrientationPatient=elements["ImageOrientationPatient"]),
        PixelMeasuresSequence=phantoms.item(PixelSpacing=elements["PixelSpacing"], SliceThickness=3.0),
    )
    pointers = [0x00189114, 0x00209153, 0x00209057]
    organisation = []
    for pointer in pointers:
        dimension = Dataset()
        dimension.DimensionIndexPointer = pointer
        organisation.append(dimension)
    ds = phantoms.slice_dataset(
        np.stack(frames), Modality="MR", NumberOfFrames=len(frames), SharedFunctionalGroupsSequence=shared,
        PerFrameFunctionalGroupsSequence=Sequence(groups), DimensionIndexSequence=Sequence(organisation),
    )  # fmt: skip
    (volume,) = read(phantoms.save(ds, tmp_path / "enhanced.dcm"))
    assert volume.data.shape == (4, 6, 7, 8)
    assert sorted(int(step[0, 0, 0]) for step in volume.data) == [-100 + 1000 * n for n in range(4)]
    for step in volume.data:
        np.testing.assert_array_equal(step - step[0, 0, 0], phantom - phantom[0, 0, 0])


def test_pixels_of_older_ge_scanners_are_big_endian(
    tmp_path: Path, phantoms: SimpleNamespace, phantom: np.ndarray
) -> None:
    ds = phantoms.slice_dataset(phantom[0], Modality="MR")
    ds.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    ds.PixelData = phantom[0].astype(">i2").tobytes()
    path = phantoms.save(ds, tmp_path / "ge.dcm")
    # as long as the standard syntax with its padding
    assert path.read_bytes().count(b"1.2.840.10008.1.2\0") == 1
    path.write_bytes(path.read_bytes().replace(b"\x12\0" + b"1.2.840.10008.1.2\0", b"\x12\0" + b"1.2.840.113619.5.2"))
    np.testing.assert_array_equal(read(path)[0].data, phantom[0])
