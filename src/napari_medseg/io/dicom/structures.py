"""RT structure sets: contours drawn on an image become label maps on its grid."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from skimage.draw import polygon

from napari_medseg.io.dicom.elements import Elements
from napari_medseg.io.dicom.parser import DicomFile
from napari_medseg.io.dicom.series import Stack
from napari_medseg.io.format import opaque_id
from napari_medseg.io.orientation import nearest_zyx
from napari_medseg.volume import Geometry, LabelClass, Volume

STRUCTURES = "1.2.840.10008.5.1.4.1.1.481.3"
TO_RAS = np.array([-1.0, -1.0, 1.0])
OFF_SLICE = 0.5
"""A contour belongs to the nearest slice if it is not further from it than this share of the spacing."""


@dataclass(frozen=True)
class Region:
    """One region of interest."""

    label: LabelClass
    contours: tuple[NDArray[np.float64], ...]
    """Closed polygons as (n, 3) points in RAS+ mm, each in one plane."""


def is_structure_set(file: DicomFile) -> bool:
    """Return whether a file holds contours."""
    return file.elements.text("SOPClassUID") == STRUCTURES


def label_maps_of_structures(file: DicomFile, stacks: list[Stack]) -> list[Volume]:
    """Return the regions of a structure set on the grid of the image that they were drawn on.

    Parameters
    ----------
    file : DicomFile
        The structure set.
    stacks : list of Stack
        The images at hand; the first that shares the frame of reference of the contours and holds most of them is used.

    Returns
    -------
    list of Volume
        One label map, several where regions overlap, or none if no image fits.
    """
    regions = _regions(file.elements)
    stack = _drawn_on(file.elements, regions, stacks)
    if stack is None or stack.geometry is None:
        return []
    layers: list[tuple[NDArray[np.uint16], list[LabelClass]]] = []
    outside = 0
    for region in regions:
        planes, left_out = _filled(region, stack.geometry)
        outside += left_out
        layer = next((one for one in layers if not _hidden(planes, one[0])), None)
        if layer is None:
            layer = (np.zeros(stack.geometry.shape, np.uint16), [])
            layers.append(layer)
        for k, mask in planes.items():
            layer[0][k][mask] = region.label.value
        layer[1].append(region.label)
    return [_volume(file, stack.geometry, layers, number, outside) for number in range(len(layers))]


def _volume(
    file: DicomFile,
    grid: Geometry,
    layers: list[tuple[NDArray[np.uint16], list[LabelClass]]],
    number: int,
    outside: int,
) -> Volume:
    header = file.elements
    labels, classes = layers[number]
    parts = ("RTSTRUCT", header.text("SeriesNumber") or "", f"layer {number + 1}" if len(layers) > 1 else "")
    notes = [f"Regions overlap: they come as {len(layers)} label maps."] if len(layers) > 1 else []
    notes += [f"{outside} contours do not lie on a slice of the image and were left out."] if outside else []
    return nearest_zyx(
        Volume(
            labels.astype(np.min_scalar_type(int(labels.max()))),
            grid,
            name=" ".join(part for part in parts if part),
            kind="labels",
            modality="RTSTRUCT",
            classes=tuple(classes),
            series_id=opaque_id(header.text("SeriesInstanceUID") or str(file.path)),
            warnings=tuple(notes),
        )
    )


def _regions(header: Elements) -> list[Region]:
    names = {item.integer("ROINumber"): item.text("ROIName") for item in header.items("StructureSetROISequence")}
    found: list[Region] = []
    values = _numbers(header)
    for item in header.items("ROIContourSequence"):
        number = item.integer("ReferencedROINumber")
        contours = [
            np.reshape(points, (-1, 3)) * TO_RAS
            for one in item.items("ContourSequence")
            if (one.text("ContourGeometricType") or "").startswith("CLOSED")
            and len(points := one.numbers("ContourData")) % 3 == 0
            and len(points) >= 9
        ]
        color = item.numbers("ROIDisplayColor")
        shown = "#" + "".join(f"{min(255, max(0, int(part))):02x}" for part in color) if len(color) == 3 else ""
        value = number if number is not None and number in values else len(found) + 1
        label = LabelClass(value=value, name=names.get(number) or f"region {number or value}", color=shown)
        # A region without any contour is a class without voxels; one of points alone is no class.
        if contours or not item.items("ContourSequence"):
            found.append(Region(label, tuple(contours)))
    return found


def _numbers(header: Elements) -> frozenset[int]:
    """Return the numbers of the regions if they can be class values: positive, and no two the same."""
    numbers = [item.integer("ReferencedROINumber") or 0 for item in header.items("ROIContourSequence")]
    usable = len(set(numbers)) == len(numbers) and all(0 < number <= 65535 for number in numbers)
    return frozenset(numbers if usable else ())


def _drawn_on(header: Elements, regions: list[Region], stacks: list[Stack]) -> Stack | None:
    """Return the image whose slices hold the most contours, among those with the frame of reference of the file."""
    frames = {header.text("FrameOfReferenceUID")}
    frames |= {item.text("FrameOfReferenceUID") for item in header.items("ReferencedFrameOfReferenceSequence")}
    frames.discard(None)
    best, most = None, 0
    for stack in stacks:
        grid = stack.geometry
        own = stack.first.file.elements.text("FrameOfReferenceUID")
        if grid is None or (frames and own is not None and own not in frames):
            continue
        hits = sum(_slice_of(contour, grid) is not None for region in regions for contour in region.contours)
        if hits > most:
            best, most = stack, hits
    return best


def _slice_of(contour: NDArray[np.float64], grid: Geometry) -> int | None:
    """Return the slice that a contour lies in, or None if it crosses slices or lies outside."""
    depth = grid.to_index(contour)[:, 0]
    nearest = round(float(np.median(depth)))
    fits = float(np.abs(depth - nearest).max()) <= OFF_SLICE and 0 <= nearest < grid.shape[0]
    return nearest if fits else None


def _hidden(planes: dict[int, NDArray[np.bool_]], labels: NDArray[np.uint16]) -> bool:
    """Return whether a region has a voxel that another one of the same layer has."""
    return any(bool((labels[k][mask] > 0).any()) for k, mask in planes.items())


def _filled(region: Region, grid: Geometry) -> tuple[dict[int, NDArray[np.bool_]], int]:
    """Return by slice the voxels whose centres lie inside, contours in contours being holes, and how many fit none."""
    planes: dict[int, NDArray[np.bool_]] = {}
    outside = 0
    for contour in region.contours:
        k = _slice_of(contour, grid)
        if k is None:
            outside += 1
            continue
        index = grid.to_index(contour)
        rows, columns = polygon(index[:, 1], index[:, 2], grid.shape[1:])
        planes.setdefault(k, np.zeros(grid.shape[1:], bool))[rows, columns] ^= True
    return planes, outside
