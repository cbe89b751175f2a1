"""Which images there are, and their classes: by folder name, by a table, or in an npz file as of MedMNIST."""

import csv
import zipfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_medseg.data.labelled.images import Pictures
from napari_medseg.data.labelled.tree import tree_of
from napari_medseg.errors import DataError
from napari_medseg.io.format import stem
from napari_medseg.io.named import image_files

PARTS = ("train", "val", "test")
PART_WORDS = {"train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
GROUPS = ("group", "patient", "patient_id", "patientid", "subject", "subject_id")
"""Columns that say which images belong together."""
LABELS = ("label", "class", "target", "diagnosis")


@dataclass(frozen=True, eq=False)
class LabelledImages:
    """Images with their classes."""

    pictures: Pictures
    classes: tuple[str, ...]
    labels: NDArray[np.int64]
    """(n,) index in `classes`."""
    parts: tuple[str, ...]
    """(n,) ``train``, ``val`` or ``test``, as the source says; empty text where it says nothing."""
    groups: tuple[str, ...]
    """(n,) patient; empty text where the source says nothing."""
    published: bool = False
    """Whether the parts are those of a published data set (npz), and not the user's own."""


@dataclass(frozen=True)
class Row:
    """One line of a table of labels."""

    image: str
    label: str
    part: str = ""
    group: str = ""


def find_labelled(images: Path, labels: Path | None = None) -> LabelledImages:
    """Return the images of a source and their classes.

    Parameters
    ----------
    images : Path
        A folder with one folder per class (if wanted below ``train``, ``val`` and ``test``), a folder of images for
        the table `labels`, or an npz file with ``train_images``, ``train_labels`` and so on.
    labels : Path, optional
        CSV with columns ``image`` and ``label``, and if wanted ``split`` and ``patient``.

    Raises
    ------
    DataError
        If nothing is there, an image has no class or several, or there is only one class.
    """
    if images.is_dir() and labels is None:
        packed = sorted(images.glob("*.npz"))
        if len(packed) == 1 and not any(entry.is_dir() for entry in images.iterdir()):
            images = packed[0]
    if images.suffix.lower() == ".npz":
        return _from_npz(images)
    if not images.is_dir():
        raise DataError(f"There is no folder {images}.", "Give a folder of images, or an .npz file.")
    rows = _from_folders(images) if labels is None else [(images, row) for row in read_table(labels)]
    return _with_files(rows, images)


def read_table(path: Path) -> list[Row]:
    """Read a table of labels.

    Raises
    ------
    DataError
        If it is no such table.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            lines = [
                {(k or "").strip().lower(): (v or "").strip() for k, v in line.items() if isinstance(v, str | None)}
                for line in csv.DictReader(file)
            ]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path} cannot be read as a table ({error}).", "Save it as CSV in UTF-8.") from error
    columns = list(lines[0]) if lines else []
    label = next((name for name in LABELS if name in columns), None)
    if "image" not in columns or label is None:
        raise DataError(
            f"{path.name} has no columns image and label; it has {', '.join(columns) or 'none'}.",
            "Its first line must be: image,label or image,label,split,patient.",
        )
    group = next((name for name in GROUPS if name in columns), "")
    rows = [_row(line, label, group, path, number + 2) for number, line in enumerate(lines) if line["image"]]
    counts = Counter(row.image for row in rows)
    if counts and max(counts.values()) > 1:
        raise DataError(f"{path.name} names {max(counts, key=counts.__getitem__)} twice.", "Keep one line per image.")
    return rows


def _row(line: dict[str, str], label: str, group: str, path: Path, number: int) -> Row:
    part = line.get("split", "").lower()
    if part and part not in PART_WORDS:
        raise DataError(f"{path.name}, line {number}: the split {part!r} is unknown.", "Use train, val or test.")
    if not line[label]:
        raise DataError(f"{path.name}, line {number}: {line['image']} has no label.", "Fill it in, or leave it out.")
    return Row(line["image"], line[label], PART_WORDS.get(part, ""), line.get(group, "") if group else "")


def _from_folders(folder: Path) -> list[tuple[Path, Row]]:
    found: list[tuple[Path, Row]] = []
    subfolders = [entry for entry in sorted(folder.iterdir()) if entry.is_dir() and not entry.name.startswith(".")]
    parts = {entry: PART_WORDS.get(entry.name.lower(), "") for entry in subfolders}
    if subfolders and all(parts.values()):
        for place, part in parts.items():
            found += [(where, Row(r.image, r.label, part, r.group)) for where, r in _from_folders(place)]
        return found
    for place in subfolders:
        found += [(place, Row(image.relative_to(place).as_posix(), place.name)) for image in tree_of(place)]
    if not found:
        raise DataError(
            f"{folder} has no folders of images named as classes.",
            "Put the images of each class into a folder of its name, or give a CSV with --labels.",
        )
    return found


def _with_files(rows: Sequence[tuple[Path, Row]], folder: Path) -> LabelledImages:
    stems: dict[Path, dict[str, Path]] = {}
    paths = [_file_of(place, row.image, stems) for place, row in rows]
    names = sorted({row.label for _place, row in rows}, key=_order)
    if len(names) < 2:
        raise DataError(f"All images of {folder} have the class {names[0]!r}.", "Two classes are needed to learn.")
    index = {name: number for number, name in enumerate(names)}
    relative = tuple(p.relative_to(folder).as_posix() if p.is_relative_to(folder) else p.name for p in paths)
    return LabelledImages(
        Pictures(relative, tuple(path.resolve() for path in paths)),
        tuple(names),
        np.array([index[row.label] for _place, row in rows], np.int64),
        tuple(row.part for _place, row in rows),
        tuple(row.group for _place, row in rows),
    )


def _order(name: str) -> tuple[int, float, str]:
    """Numbers come in their own order, before words."""
    try:
        return 0, float(name), name
    except ValueError:
        return 1, 0.0, name


def _file_of(folder: Path, image: str, stems: dict[Path, dict[str, Path]]) -> Path:
    # A table may stand above the folder and name images from there.
    for path in (folder / image, folder / Path(image).name):
        if path.exists():
            return path
    if folder not in stems:
        stems[folder] = {stem(entry): entry for entry in image_files(folder)}
    found = stems[folder].get(image) or stems[folder].get(Path(image).name)
    if found is None:
        raise DataError(f"{folder} has no image {image}.", "Name images as their files, with or without suffix.")
    return found


def open_npz(path: Path, parts: Sequence[str] = PARTS) -> tuple[Pictures, NDArray[np.int64] | None, tuple[str, ...]]:
    """Return the images of an npz file, their labels if it has them, and the part of each.

    Raises
    ------
    DataError
        If it is no such file.
    """
    try:
        with np.load(path, allow_pickle=False) as packed:
            present = [part for part in parts if f"{part}_images" in packed.files]
            arrays = tuple(packed[f"{part}_images"] for part in present)
            found = [packed[f"{part}_labels"] for part in present if f"{part}_labels" in packed.files]
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise DataError(f"{path} cannot be read as arrays ({error}).", "Copy the file again.") from error
    if not present:
        raise DataError(f"{path.name} has no {parts[0]}_images.", "It must be laid out as MedMNIST's files.")
    names = tuple(f"{p}/{k}" for p, array in zip(present, arrays, strict=True) for k in range(len(array)))
    belong = tuple(part for part, array in zip(present, arrays, strict=True) for _ in range(len(array)))
    labels = None
    if len(found) == len(present):
        if any(array.ndim == 2 and array.shape[1] > 1 for array in found):
            raise DataError(f"{path.name} gives several labels to an image.", "One class per image is supported.")
        labels = np.concatenate([array.reshape(-1) for array in found]).astype(np.int64)
    if labels is not None and len(labels) != len(names):
        raise DataError(f"{path.name} has {len(names)} images but {len(labels)} labels.", "Get the file again.")
    return Pictures(names, arrays=arrays), labels, belong


def _from_npz(path: Path) -> LabelledImages:
    pictures, labels, parts = open_npz(path)
    if labels is None:
        raise DataError(f"{path.name} has no labels.", "It must have train_labels beside train_images.")
    values = sorted(set(labels.tolist()))
    if len(values) < 2:
        raise DataError(f"All images of {path.name} have one class.", "Two classes are needed to learn.")
    return LabelledImages(
        pictures,
        tuple(str(value) for value in values),
        np.searchsorted(values, labels).astype(np.int64),
        parts,
        ("",) * len(labels),
        published=True,
    )
