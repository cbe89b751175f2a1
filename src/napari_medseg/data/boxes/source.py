"""Boxes of many images in one file or folder, as others write them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from napari_medseg.data.boxes.spheres import Sphere, box_of_sphere
from napari_medseg.errors import DataError
from napari_medseg.prediction import Boxes
from napari_medseg.volume import LabelClass, Volume

Part = Literal["", "train", "val", "test"]
Outline = list[list[float]] | dict[str, Any] | None
"""Of COCO: polygons, run lengths, or nothing."""
Row = tuple[str, tuple[float, ...], float]
"""Name of the class, edges (starts, then stops, in the order of the array's axes), score."""


@dataclass(frozen=True, eq=False)
class BoxSource:
    """What a file or folder says of boxes."""

    classes: tuple[LabelClass, ...]
    boxes: Mapping[str, Boxes]
    """By image, as the source names it. Images without any are there, if the source names them."""
    spheres: Mapping[str, tuple[Sphere, ...]] = field(default_factory=dict)
    """By image, where the source gives places in the patient instead; all of the first class."""
    ignored: Mapping[str, Boxes] = field(default_factory=dict)
    """Boxes around crowds (``iscrowd`` of COCO): not learnt, and neither right nor wrong in scores."""
    parts: Mapping[str, str] = field(default_factory=dict)
    """``train``, ``val`` or ``test`` by image, where the source says it."""
    groups: Mapping[str, str] = field(default_factory=dict)
    """Patient by image, where the source says it."""
    sizes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    """Voxels along the array's axes by image, where the source says it."""
    ids: Mapping[str, int] = field(default_factory=dict)
    """Number by image, of COCO."""
    maps: Mapping[str, Path] = field(default_factory=dict)
    """Label map by image, where boxes are those of its things."""
    numbered: bool = False
    """Whether the values of `maps` number things instead of classes."""
    outlines: Mapping[str, tuple[Outline, ...]] = field(default_factory=dict)
    """By image, one for each box: polygons or run lengths, where COCO gives them."""
    notes: tuple[str, ...] = ()
    """What was left out and why, one sentence each."""

    @property
    def names(self) -> tuple[str, ...]:
        """All images that are named."""
        return (*self.boxes, *(name for name in self.spheres if name not in self.boxes))

    def on(self, name: str, volume: Volume) -> Boxes:
        """Return the boxes of an image in voxels of its own grid.

        Raises
        ------
        DataError
            If places in the patient are given and the image has no geometry.
        """
        if not self.spheres:
            return self.boxes[name]
        if volume.geometry is None:
            raise DataError(f"{name} has no geometry, but its boxes are places in mm.", "Give boxes in voxels.")
        spheres = self.spheres.get(name, ())
        edges = [box_of_sphere(sphere, volume.geometry) for sphere in spheres]
        values = np.full(len(spheres), self.classes[0].value)
        return Boxes(np.array(edges, float).reshape(-1, 2, 3), values, np.ones(len(spheres)), self.classes)


def read_boxes(path: Path) -> BoxSource:
    """Read boxes from COCO JSON, a folder of Pascal VOC XML, a table, or a folder of label maps.

    Parameters
    ----------
    path : Path
        ``.json``; ``.xml`` or a folder of them; a CSV with ``image,label,xmin,ymin[,zmin],xmax,ymax[,zmax]`` or with
        ``seriesuid,coordX,coordY,coordZ,diameter_mm`` as of LUNA16; a folder of JSON files with ``train`` and
        ``val`` in their names; or a folder of label maps that are named like their images.

    Raises
    ------
    DataError
        If it is none of these, or makes no sense.
    """
    from napari_medseg.data.boxes.coco import read_coco
    from napari_medseg.data.boxes.table import read_table
    from napari_medseg.data.boxes.voc import read_voc

    if path.is_dir():
        xml, json = sorted(path.glob("*.xml")), sorted(path.glob("*.json"))
        if xml:
            return read_voc(xml)
        if json:
            return _joined([(_part_of(file), read_coco(file)) for file in json])
        from napari_medseg.data.boxes.maps import read_maps

        return read_maps(path)
    if not path.is_file():
        raise DataError(f"There is no file {path}.", "Give COCO JSON, Pascal VOC XML or CSV.")
    suffix = path.suffix.lower()
    if suffix == ".json":
        return read_coco(path)
    return read_voc([path]) if suffix == ".xml" else read_table(path)


def named_classes(names: Iterable[str]) -> tuple[LabelClass, ...]:
    """Return classes of values from 1 on, numbers in their own order before words."""
    ordered = sorted(set(names), key=lambda name: (not name.isdecimal(), int(name) if name.isdecimal() else 0, name))
    return tuple(LabelClass(value=value, name=name) for value, name in enumerate(ordered, start=1))


def gathered(rows: Mapping[str, list[Row]], classes: tuple[LabelClass, ...], axes: int) -> dict[str, Boxes]:
    """Return the boxes of each image from their rows."""
    value = {c.name: c.value for c in classes}
    return {
        name: Boxes(
            np.array([edges for _label, edges, _score in found], float).reshape(-1, 2, axes),
            np.array([value[label] for label, _edges, _score in found], np.int64),
            np.array([score for _label, _edges, score in found], float),
            classes,
        )
        for name, found in rows.items()
    }


def without_extent(rows: Mapping[str, list[Row]]) -> tuple[dict[str, list[Row]], tuple[str, ...]]:
    """Return the rows of boxes that have an extent along every axis, and a note on the others.

    Raises
    ------
    DataError
        If a box ends before it starts.
    """
    kept: dict[str, list[Row]] = {}
    left_out: list[str] = []
    for name, found in rows.items():
        kept[name] = []
        for row in found:
            half = len(row[1]) // 2
            lengths = [stop - start for start, stop in zip(row[1][:half], row[1][half:], strict=True)]
            if not min(lengths) >= 0:
                raise DataError(f"A box of {name} ends before it starts: {row[1]}.", "Correct it, or leave it out.")
            if min(lengths) == 0:
                left_out.append(name)
            else:
                kept[name].append(row)
    if not left_out:
        return kept, ()
    return kept, (f"{len(left_out)} boxes without extent are left out, such as one of {left_out[0]}.",)


def _part_of(file: Path) -> str:
    words = {"train": "train", "val": "val", "test": "test"}
    return next((part for word, part in words.items() if word in file.stem.lower()), "")


def _joined(sources: list[tuple[str, BoxSource]]) -> BoxSource:
    classes = sources[0][1].classes
    boxes: dict[str, Boxes] = {}
    parts: dict[str, str] = {}
    for part, source in sources:
        if source.classes != classes:
            raise DataError("The files of the folder have different categories.", "Give one file.")
        twice = boxes.keys() & source.boxes.keys()
        if twice:
            raise DataError(f"The image {min(twice)} is in two files of the folder.", "Keep one of them.")
        boxes |= source.boxes
        parts |= {name: part for name in source.boxes if part}
    merged = [source for _part, source in sources]
    return BoxSource(
        classes,
        boxes,
        ignored={name: b for source in merged for name, b in source.ignored.items()},
        parts=parts,
        sizes={name: size for source in merged for name, size in source.sizes.items()},
        outlines={name: outline for source in merged for name, outline in source.outlines.items()},
        notes=tuple(note for source in merged for note in source.notes),
    )
