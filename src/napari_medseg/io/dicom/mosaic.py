"""Siemens mosaics and UIH grids: a whole volume as tiles of one picture, its layout in private elements."""

from collections.abc import Sequence
from dataclasses import replace
from math import ceil, isqrt

import numpy as np

from napari_medseg.errors import ReadError
from napari_medseg.io.dicom.csa import csa_of
from napari_medseg.io.dicom.elements import Elements
from napari_medseg.io.dicom.frame import Frame, Plane

UIH_OWNER = "Image Private Header"
MOST_TILES = 4096


def is_mosaic(header: Elements) -> bool:
    """Return whether the picture of a file is a mosaic of slices."""
    maker = (header.text("Manufacturer") or "").upper()
    is_siemens = "MOSAIC" in header.texts("ImageType") and maker.startswith("SIEMENS") and not _was_cut(header)
    return is_siemens or is_grid(header)


def is_grid(header: Elements) -> bool:
    """Return whether the picture of a file is a UIH grid of slices."""
    maker = (header.text("Manufacturer") or "").upper()
    return maker.startswith("UIH") and bool(header.private_numbers(UIH_OWNER, 0x65, 0x50, "DS"))


def _was_cut(header: Elements) -> bool:
    """Return whether a picture that calls itself a mosaic is a single slice: no larger than what was acquired."""
    acquired = header.numbers("AcquisitionMatrix")
    side = max(header.integer("Rows") or 0, header.integer("Columns") or 0)
    return bool(acquired) and side <= max(acquired) and _tile_count(header, csa_of(header)) is None


def grid_frames(picture: Frame) -> list[Frame]:
    """Return one frame per tile of a UIH grid, whose private sequence says where each slice lies."""
    header = picture.file.elements
    count = _whole(header.private_numbers(UIH_OWNER, 0x65, 0x50, "DS"))
    if count is None:
        raise ReadError(
            f"{picture.file.path.name} does not say how many slices its grid holds.", "Export the series again."
        )
    across = isqrt(count - 1) + 1
    places = _grid_positions(header, count)
    planes = [_moved(picture.plane, place) for place in places]
    return _cut(picture, (-(-count // across), across), planes)


def _grid_positions(header: Elements, count: int) -> list[tuple[float, ...] | None]:
    items = header.private_items(UIH_OWNER, 0x65, 0x51)
    found = [item.vector("ImagePositionPatient", 3) for item in items]
    return found if len(found) == count else [None] * count


def _moved(plane: Plane | None, position: tuple[float, ...] | None) -> Plane | None:
    return None if plane is None or position is None else replace(plane, position=position)


def mosaic_frames(picture: Frame) -> list[Frame]:
    """Return one frame per tile of a mosaic picture.

    The position in the header is that of a single slice as large as the whole mosaic, centred where the slices are.
    """
    header = picture.file.elements
    csa = csa_of(header)
    count = _tile_count(header, csa)
    if count is None:
        raise ReadError(
            f"{picture.file.path.name} is a mosaic, but its private header does not say of how many slices.",
            "Export the series again without removing private elements.",
        )
    side = isqrt(count - 1) + 1
    planes = _tile_planes(picture, csa, count, picture.rows // side, picture.columns // side)
    return _cut(picture, (side, side), planes)


def _cut(picture: Frame, tiles: tuple[int, int], planes: Sequence[Plane | None]) -> list[Frame]:
    """Return one frame per plane, from the tiles (down, across) of a picture row by row."""
    rows, columns = picture.rows // tiles[0], picture.columns // tiles[1]
    if not rows or not columns:
        raise ReadError(f"{picture.file.path.name} is too small a mosaic for {len(planes)} slices.", "Export it again.")
    apart = (*picture.apart, float(len(planes)))
    return [
        replace(
            picture,
            rows=rows,
            columns=columns,
            plane=plane,
            apart=apart,
            tile=(number // tiles[1] * rows, number % tiles[1] * columns),
        )
        for number, plane in enumerate(planes)
    ]


def _tile_planes(
    picture: Frame, csa: dict[str, tuple[float, ...]], count: int, rows: int, columns: int
) -> list[Plane] | list[None]:
    plane, step = picture.plane, picture.step or picture.thickness
    if plane is None or not step:
        return [None] * count
    row, column = np.array(plane.orientation[:3]), np.array(plane.orientation[3:])
    to_row, to_column = plane.spacing
    corner = np.array(plane.position)
    corner = corner + row * to_column * (picture.columns - columns) / 2 + column * to_row * (picture.rows - rows) / 2
    normal = np.array(csa.get("SliceNormalVector") or plane.normal)
    return [
        Plane(tuple(map(float, corner + normal * step * k)), plane.orientation, plane.spacing) for k in range(count)
    ]


def _tile_count(header: Elements, csa: dict[str, tuple[float, ...]]) -> int | None:
    stated = header.private_numbers("SIEMENS MR HEADER", 0x19, 0x0A, "US") or csa.get("NumberOfImagesInMosaic")
    return _whole(stated or ())


def _whole(stated: tuple[float, ...]) -> int | None:
    return ceil(stated[0]) if stated and 1 <= stated[0] <= MOST_TILES else None
