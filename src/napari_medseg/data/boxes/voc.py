"""Pascal VOC XML: pixels are numbered from 1 on and ``xmax`` is the last one inside."""

from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

from napari_medseg.data.boxes.source import BoxSource, Row, gathered, named_classes, without_extent
from napari_medseg.errors import DataError

CORNERS = ("xmin", "ymin", "xmax", "ymax")
LONGEST = 1 << 24
"""Bytes of a file."""


def read_voc(files: Sequence[Path]) -> BoxSource:
    """Read the boxes of images, one XML file each.

    As in the standard, the box from `xmin` to `xmax` holds both pixels, the first pixel of an image being 1. Many
    programs count from 0 and write edges instead; where any file has a 0, that is how all files are read.

    Raises
    ------
    DataError
        If a file is no annotation of Pascal VOC.
    """
    found = [_parsed(file) for file in files]
    rows: dict[str, list[Row]] = {}
    sizes: dict[str, tuple[int, ...]] = {}
    edges = any(min(corners[:2]) < 1 for _name, _size, objects in found for _label, corners in objects)
    first = 0.0 if edges else 1.0
    for file, (name, size, objects) in zip(files, found, strict=True):
        if name in rows:
            raise DataError(f"{file.name} is about {name}, as another file is.", "Keep one of them.")
        rows[name] = [(label, (y0 - first, x0 - first, y1, x1), 1.0) for label, (x0, y0, x1, y1) in objects]
        if size is not None:
            sizes[name] = size
    kept, notes = without_extent(rows)
    classes = named_classes(label for objects in rows.values() for label, _edges, _score in objects)
    if not classes:
        raise DataError(f"{files[0].parent} has no box in any XML file.", "Give files with objects.")
    if edges:
        notes = (*notes, "The XML files count pixels from 0, so their corners are taken as edges.")
    return BoxSource(classes, gathered(kept, classes, 2), sizes=sizes, notes=notes)


def _parsed(file: Path) -> tuple[str, tuple[int, int] | None, list[tuple[str, list[float]]]]:
    try:
        if file.stat().st_size > LONGEST:
            raise ValueError("it is too long")
        text = file.read_bytes()
        # Entities are the one part of XML that can grow without end; no annotation has them.
        if b"<!DOCTYPE" in text or b"<!ENTITY" in text:
            raise ValueError("it declares entities")
        root = ElementTree.fromstring(text)
        objects = [(_text(each, "name"), [float(_text(each, f"bndbox/{c}")) for c in CORNERS])
                   for each in root.iter("object")]  # fmt: skip
        width, height = root.findtext("size/width"), root.findtext("size/height")
        size = (int(height), int(width)) if width and height else None
    except (OSError, ValueError, ElementTree.ParseError) as error:
        raise DataError(f"{file.name} is no annotation of Pascal VOC ({error}).", "Repair or remove it.") from error
    named = (root.findtext("filename") or "").strip()
    # Tools copy files under new names and leave the old one inside.
    name = named if Path(named).stem == file.stem else file.stem
    return name, size, objects


def _text(element: ElementTree.Element, path: str) -> str:
    found = (element.findtext(path) or "").strip()
    if not found:
        raise ValueError(f"an object has no {path}")
    return found
