"""Which images there are, and their classes: by folder name, by a table, or in an npz file as of MedMNIST."""

import os
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_medseg.data.labelled.images import Pictures
from napari_medseg.data.labelled.packed import PackedRows
from napari_medseg.data.labelled.table import BETWEEN, PART_WORDS, Row, Table, classes_in, read_table
from napari_medseg.data.labelled.tree import tree_of
from napari_medseg.errors import DataError
from napari_medseg.io.format import stem
from napari_medseg.io.named import image_files
from napari_medseg.models.spec import Crop

PARTS = ("train", "val", "test")


@dataclass(frozen=True, eq=False)
class LabelledImages:
    """Images with their classes."""

    pictures: Pictures
    classes: tuple[str, ...]
    labels: NDArray[np.int64]
    """(n,) index in `classes`; (n, class) of 0 and 1 where an image may have several."""
    parts: tuple[str, ...]
    """(n,) ``train``, ``val`` or ``test``, as the source says; empty text where it says nothing."""
    groups: tuple[str, ...]
    """(n,) patient; empty text where the source says nothing."""
    published: bool = False
    """Whether the parts are those of a published data set (npz), and not the user's own."""
    facts: tuple[tuple[str, ...], ...] = ()
    """(n,) covariates of each, as they are written; empty if none were asked for."""

    def chosen(self, numbers: Sequence[int]) -> "LabelledImages":
        """Return some of the images, in this order."""
        return replace(
            self,
            pictures=self.pictures.chosen(numbers),
            labels=self.labels[list(numbers)],
            parts=tuple(self.parts[k] for k in numbers),
            groups=tuple(self.groups[k] for k in numbers),
            facts=tuple(self.facts[k] for k in numbers) if self.facts else (),
        )

    @property
    def words(self) -> list[str]:
        """(n,) class of each image as tables name it; several have a bar between them."""
        if not self.several:
            return [self.classes[k] for k in self.labels]
        return [BETWEEN.join(np.array(self.classes)[row > 0]) for row in self.labels]

    @property
    def several(self) -> bool:
        """Whether an image may have any number of classes."""
        return self.labels.ndim == 2

    @property
    def targets(self) -> NDArray[np.float32]:
        """(n, class) of 0 and 1."""
        if self.several:
            return self.labels.astype(np.float32)
        return np.eye(len(self.classes), dtype=np.float32)[self.labels]

    @property
    def strata(self) -> NDArray[np.int64]:
        """(n,) kind of image, to share alike between parts: its class, or the rarest of its classes."""
        if not self.several:
            return self.labels
        rarest = np.argsort(self.labels.sum(axis=0), kind="stable")
        ranked = self.labels[:, rarest]
        return np.where(ranked.any(axis=1), rarest[ranked.argmax(axis=1)], len(self.classes)).astype(np.int64)


def find_labelled(
    images: Path, labels: Path | None = None, covariates: Sequence[str] = (), crop: Crop | None = None
) -> LabelledImages:
    """Return the images of a source and their classes.

    Parameters
    ----------
    images : Path
        A folder with one folder per class (if wanted below ``train``, ``val`` and ``test``), a folder of images for
        the table `labels`, or an npz file with ``train_images``, ``train_labels`` and so on.
    labels : Path, optional
        As for `napari_medseg.data.labelled.table.read_table`.
    covariates : sequence of str
        Headings of columns of `labels` to read, too.
    crop : Crop, optional
        How the boxes of `labels` are cut out.

    Raises
    ------
    DataError
        If nothing is there, an image has no class or several, or there is only one class.
    """
    if images.is_dir() and labels is None:
        packed = sorted(images.glob("*.npz"))
        if len(packed) == 1 and not any(entry.is_dir() for entry in images.iterdir()):
            images = packed[0]
    if labels is None and covariates:
        raise DataError(f"There is no table with {', '.join(covariates)}.", "Give a CSV with --labels.")
    if images.suffix.lower() == ".npz":
        return _from_npz(images)
    if not images.is_dir():
        raise DataError(f"There is no folder {images}.", "Give a folder of images, or an .npz file.")
    if labels is None:
        rows = _from_folders(images)
        return _with_files(rows, Table(tuple(row for _place, row in rows)), images, crop)
    table = read_table(labels, covariates)
    return _with_files([(images, row) for row in table.rows], table, images, crop)


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


def _with_files(rows: Sequence[tuple[Path, Row]], table: Table, folder: Path, crop: Crop | None) -> LabelledImages:
    pictures = pictures_of(rows, folder, crop)
    several = table.classes is not None
    classes = table.classes or tuple(sorted({row.label for _place, row in rows}, key=_order))
    if len(classes) < 2:
        raise DataError(
            f"All images of {folder} have the class {classes[0] if classes else 'none'!r}.",
            "Two classes are needed to learn.",
        )
    index = {name: number for number, name in enumerate(classes)}
    if several:
        labels = np.zeros((len(rows), len(classes)), np.int64)
        for number, (_place, row) in enumerate(rows):
            labels[number, [index[name] for name in classes_in(row.label)]] = 1
    else:
        labels = np.array([index[row.label] for _place, row in rows], np.int64)
    return LabelledImages(
        pictures,
        classes,
        labels,
        tuple(row.part for _place, row in rows),
        tuple(row.group for _place, row in rows),
        facts=tuple(row.facts for _place, row in rows),
    )


def pictures_of(rows: Sequence[tuple[Path, Row]], folder: Path, crop: Crop | None = None) -> Pictures:
    """Return the files of rows, each with the folder that it is in.

    Parameters
    ----------
    rows : sequence of (Path, Row)
        Folder and row.
    folder : Path
        That images are named from.
    crop : Crop, optional
        How boxes are cut out.

    Raises
    ------
    DataError
        If a file is not there.
    """
    stems: dict[Path, dict[str, Path]] = {}
    paths = [_file_of(place, row.image, stems) for place, row in rows]
    more = [tuple(_file_of(place, name, stems).resolve() for name in row.more) for place, row in rows]
    names = [
        name + (row.name or row.image).removeprefix(row.image)
        for name, (_place, row) in zip(_names(paths, folder), rows, strict=True)
    ]
    boxes = tuple(row.box for _place, row in rows)
    return Pictures(
        tuple(names),
        tuple(path.resolve() for path in paths),
        more=tuple(more) if any(more) else (),
        boxes=boxes if any(box is not None for box in boxes) else (),
        crop=crop or Crop(),
    )


def _names(paths: Sequence[Path], folder: Path) -> list[str]:
    """Return what files are called: the path below a folder, or else the name, with more of it to tell them apart."""
    known = {path: path.relative_to(folder).as_posix() for path in paths if path.is_relative_to(folder)}
    others = {path: path.name for path in paths if path not in known}
    if len({*known.values(), *others.values()}) < len(known) + len(others):
        common = Path(os.path.commonpath([path.parent for path in others]))
        others = {path: path.relative_to(common).as_posix() for path in others}
    found = known | others
    return [found[path] for path in paths]


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

    Labels are (n,), or (n, class) of 0 and 1 where an image may have several classes.

    Raises
    ------
    DataError
        If it is no such file.
    """
    try:
        with np.load(path, allow_pickle=False) as packed:
            present = [part for part in parts if f"{part}_images" in packed.files]
            found = {part: packed[f"{part}_labels"] for part in PARTS if f"{part}_labels" in packed.files}
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise DataError(f"{path} cannot be read as arrays ({error}).", "Copy the file again.") from error
    if not present:
        raise DataError(f"{path.name} has no {parts[0]}_images.", "It must be laid out as MedMNIST's files.")
    arrays = tuple(PackedRows(path, f"{part}_images") for part in present)
    names = tuple(f"{p}/{k}" for p, array in zip(present, arrays, strict=True) for k in range(len(array)))
    belong = tuple(part for part, array in zip(present, arrays, strict=True) for _ in range(len(array)))
    labels = None
    if found.keys() >= set(present):
        rows = {k: _whole(v if v.ndim > 1 else v[:, None], path, k) for k, v in found.items()}
        labels = np.concatenate([rows[part] for part in present])
        # One class each may be written as a column of 0 and 1 per class.
        one_each = all((array.sum(axis=1) == 1).all() and array.min(initial=0) == 0 for array in rows.values())
        if labels.shape[1] == 1:
            labels = labels[:, 0]
        elif one_each:
            labels = labels.argmax(axis=1)
        if len(labels) != len(names):
            raise DataError(f"{path.name} has {len(names)} images but {len(labels)} labels.", "Get the file again.")
    return Pictures(names, arrays=arrays), labels, belong


def _whole(labels: NDArray[np.generic], path: Path, part: str) -> NDArray[np.int64]:
    """Return labels as whole numbers, or raise `DataError` if they are none."""
    try:
        whole = np.isfinite(labels) & (labels == np.rint(labels))
    except TypeError:
        whole = np.zeros(labels.shape, np.bool_)
    if not whole.all():
        first = np.argwhere(~whole)[0]
        problem = f"{path.name}: the label of {part}/{first[0]} is {labels[tuple(first)]}, which is no whole number."
        raise DataError(problem, "Number the classes, and leave out images without one.")
    return labels.astype(np.int64)


def _from_npz(path: Path) -> LabelledImages:
    pictures, labels, parts = open_npz(path)
    if labels is None:
        raise DataError(f"{path.name} has no labels.", "It must have train_labels beside train_images.")
    if labels.ndim == 2:
        classes = tuple(str(number) for number in range(labels.shape[1]))
    else:
        values, labels = np.unique(labels, return_inverse=True)
        classes = tuple(str(value) for value in values.tolist())
    if len(classes) < 2:
        raise DataError(f"All images of {path.name} have one class.", "Two classes are needed to learn.")
    blank = ("",) * len(labels)
    return LabelledImages(pictures, classes, labels.astype(np.int64), parts, blank, published=True)
