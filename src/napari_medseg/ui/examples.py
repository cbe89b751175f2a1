"""What is labelled, learnt from and classified in the viewer: layers, their slices and regions, and files."""

import csv
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from napari.layers import Image, Labels, Shapes

from napari_medseg.data.labelled import find_labelled
from napari_medseg.data.labelled.crop import regions_of
from napari_medseg.data.labelled.table import BETWEEN, REGION_MARK, SLICE_MARK, Box, other_columns
from napari_medseg.data.labelled.tree import tree_of
from napari_medseg.errors import DataError
from napari_medseg.io import write
from napari_medseg.ui.layers import classes_of, image_volume, labels_on
from napari_medseg.ui.layers.regions import shape_boxes
from napari_medseg.volume import Volume

NAMED = ("label", "class", "predicted")
"""Features of a shapes layer that say what is in each box."""


@dataclass(frozen=True, eq=False)
class Example:
    """One thing to classify."""

    name: str
    """As shown to the user."""
    image: "Image | Path | tuple[Path, int]"
    """Layer, file, or number of an image in an npz file."""
    box: Box | None = None
    """What part of the image, on its own grid; None for all of it."""
    label: str = ""
    """Class as the user says; empty while nobody said."""
    part: str = ""
    """``train``, ``val``, ``test``, or empty."""
    group: str = ""
    """Patient."""
    more: tuple[Path, ...] = ()
    """Further images of the same place."""
    facts: tuple[tuple[str, str], ...] = ()
    """Other columns of its table, which may be covariates: heading and entry."""


def whole_layers(layers: Sequence[Image]) -> list[Example]:
    """Return layers as examples, each as a whole."""
    return [Example(layer.name, layer) for layer in layers]


def slices(layer: Image) -> list[Example]:
    """Return the slices of a volume along its first axis."""
    shape = image_volume(layer).spatial_shape
    if len(shape) == 2:
        return [Example(layer.name, layer)]
    whole = (slice(None), slice(None))
    return [Example(f"{layer.name}{SLICE_MARK}{k}", layer, (slice(k, k + 1), *whole)) for k in range(shape[0])]


def label_regions(labels: Labels, image: Image, each_slice: bool = False) -> list[Example]:
    """Return the connected regions of a labels layer, of the class that the layer names for their value.

    Raises
    ------
    DataError
        If there is none.
    """
    names = {entry.value: entry.name for entry in classes_of(labels)}
    found = regions_of(np.asarray(labels_on(labels, image).data), each_slice)
    if not found:
        raise DataError(f"{labels.name} marks no region.", "Paint regions, or choose another layer.")
    return [
        Example(f"{image.name}{REGION_MARK}{k}", image, box, names.get(value, f"class {value}"))
        for k, (value, box) in enumerate(found, start=1)
    ]


def boxes(shapes: Shapes, image: Image) -> list[Example]:
    """Return the boxes around the shapes of a layer, of the class that its features name."""
    column = next((name for name in NAMED if name in shapes.features), None)
    words = [""] * len(shapes.data) if column is None else [str(word) for word in shapes.features[column]]
    return [
        Example(f"{image.name}{REGION_MARK}{k}", image, box, word)
        for k, (box, word) in enumerate(zip(shape_boxes(shapes, image), words, strict=True), start=1)
    ]


def files(paths: Sequence[Path]) -> list[Example]:
    """Return files, and the images in folders at any depth; the folder that holds an image is no class yet."""
    found: list[Example] = []
    for path in paths:
        inside = tree_of(path) if path.is_dir() else [path]
        found += [Example(one.relative_to(path).as_posix() if one != path else path.name, one) for one in inside]
    return found


def labelled(images: Path, table: Path | None = None) -> list[Example]:
    """Return images whose classes a source says: folders named as classes, a table, or an npz file.

    Raises
    ------
    DataError
        If it says none.
    """
    found = find_labelled(images, table)
    pictures, words = found.pictures, found.words
    places: Sequence[Path | tuple[Path, int]] = pictures.paths or [(images, k) for k in range(len(pictures))]
    sides = pictures.boxes or (None,) * len(pictures)
    more = pictures.more or ((),) * len(pictures)
    facts = [()] * len(pictures) if table is None else [tuple(line.items()) for line in other_columns(table)]
    rows = zip(pictures.names, places, sides, words, found.parts, found.groups, more, facts, strict=True)
    return [Example(*row) for row in rows]


def lay_out(examples: Sequence[Example]) -> Callable[[Path], tuple[Path, Path | None]]:
    """Return the work that writes examples into a folder where a worker can read them; to be done in a thread.

    Layers are taken as they are now.

    Parameters
    ----------
    examples : sequence of Example
        Those of an npz file must be all of it.

    Returns
    -------
    callable
        Takes a folder for the table and copies of layers; returns the images, and the table of what to look at in
        them, which is None where an npz file says it all.

    Raises
    ------
    DataError
        If images of an npz file are mixed with others.
    """
    packed = {example.image[0] for example in examples if isinstance(example.image, tuple)}
    if packed:
        if len(packed) > 1 or not all(isinstance(example.image, tuple) for example in examples):
            raise DataError("Images of an npz file cannot be mixed with others.", "Clear the table, and add one kind.")
        return lambda _folder: (packed.pop(), None)
    layers = {example.image for example in examples if isinstance(example.image, Image)}
    return partial(_written, examples, {layer: image_volume(layer) for layer in layers})


def _written(examples: Sequence[Example], volumes: Mapping[Image, Volume], folder: Path) -> tuple[Path, Path]:
    folder.mkdir(parents=True, exist_ok=True)
    paths: dict[object, Path] = {}
    for number, (layer, volume) in enumerate(volumes.items()):
        paths[layer] = write(volume, folder / f"image{number}.medvol")
    columns = ["image", "label", "split", "patient", "slice"]
    corners = [f"{axis}{end}" for end in ("min", "max") for axis in "zyx"]
    with (folder / "examples.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        further = range(2, 2 + max((len(example.more) for example in examples), default=0))
        facts = list(dict.fromkeys(name for example in examples for name, _entry in example.facts))
        writer.writerow([*columns, *corners, *(f"image{k}" for k in further), *facts])
        for example in examples:
            path = paths.get(example.image, example.image)
            part, sides = _slice_of(example.box), _corners(example.box)
            group = example.group or (f"image {path}" if example.box is not None else "")
            more = [*example.more, *[""] * (len(further) - len(example.more))]
            known = dict(example.facts)
            told = [known.get(name, "") for name in facts]
            writer.writerow([path, example.label, example.part, group, part, *sides, *more, *told])
    return folder, folder / "examples.csv"


def _slice_of(box: Box | None) -> str:
    whole = box is not None and len(box) == 3 and box[1].start is None
    return str(box[0].start) if box is not None and whole else ""


def _corners(box: Box | None) -> list[str]:
    if box is None or _slice_of(box):
        return [""] * 6
    blank = [""] * (3 - len(box))
    return [*blank, *(str(side.start) for side in box), *blank, *(str(side.stop) for side in box)]


def classes_said(examples: Sequence[Example]) -> list[str]:
    """Return the classes that examples have, in the order in which they appear; several are split at the bar."""
    found = [part.strip() for example in examples for part in example.label.split(BETWEEN)]
    return list(dict.fromkeys(name for name in found if name))
