"""Images of a folder with the boxes on them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from napari_medseg.data.boxes.source import BoxSource, read_boxes
from napari_medseg.data.labelled.tree import tree_of
from napari_medseg.errors import DataError
from napari_medseg.io.format import stem


@dataclass(frozen=True, eq=False)
class BoxedImages:
    """Images and what is known of the boxes on them."""

    source: BoxSource
    names: tuple[str, ...]
    """(n,) as in the source, or the path below the folder for images that it does not name."""
    paths: tuple[Path, ...]
    """(n,) files or DICOM folders."""

    @property
    def parts(self) -> tuple[str, ...]:
        """(n,) ``train``, ``val`` or ``test``; empty text where the source says nothing."""
        return tuple(self.source.parts.get(name, "") for name in self.names)

    @property
    def groups(self) -> tuple[str, ...]:
        """(n,) patient; empty text where the source says nothing."""
        return tuple(self.source.groups.get(name, "") for name in self.names)


def find_boxed(images: Path, boxes: Path) -> BoxedImages:
    """Return the images that a source of boxes names.

    Parameters
    ----------
    images : Path
        A folder of images, at any depth.
    boxes : Path
        For `read_boxes`. To a table of spheres belong all images of the folder: those that it does not name have none.

    Raises
    ------
    DataError
        If an image is missing, or there is no box at all.
    """
    source = read_boxes(boxes)
    if not source.classes or not (any(len(b) for b in source.boxes.values()) or source.spheres):
        raise DataError(f"{boxes} has no boxes.", "Draw some.")
    if not images.is_dir():
        raise DataError(f"There is no folder {images}.", "Give the folder of the images.")
    everything = tree_of(images)
    finder = ImageNames([path.relative_to(images).as_posix() for path in everything])
    places = [finder.find(name) for name in source.names]
    missing = [name for name, place in zip(source.names, places, strict=True) if place is None]
    if missing:
        raise DataError(
            f"{images} has no image {missing[0]}, which has boxes{_others(missing)}.",
            "Name images as their files, with or without folder and suffix.",
        )
    found = {place: name for name, place in zip(source.names, places, strict=True) if place is not None}
    if len(found) < len(source.names):
        raise DataError(f"Two images of {boxes.name} are the same file.", "Name each image once.")
    numbers = range(len(everything)) if source.spheres else sorted(found)
    return BoxedImages(
        source,
        tuple(found.get(number, everything[number].relative_to(images).as_posix()) for number in numbers),
        tuple(everything[number].resolve() for number in numbers),
    )


class ImageNames:
    """Finds images by name, also where one side says more of the path or the suffix than the other."""

    def __init__(self, names: Sequence[str]) -> None:
        self._keys: dict[str, list[int]] = {}
        for number, name in enumerate(names):
            for key in _forms(name):
                self._keys.setdefault(key, []).append(number)

    def find(self, name: str) -> int | None:
        """Return the number of the image; None if there is none, or several could be meant."""
        for key in _forms(name):
            numbers = self._keys.get(key, [])
            if len(numbers) == 1:
                return numbers[0]
        return None


def _forms(name: str) -> tuple[str, ...]:
    """Return a name as it is, without suffix, without folders, and without both; the suffix of a UID is none."""
    path = PurePosixPath(name.replace("\\", "/"))
    bare = stem(Path(path.name))
    parent = path.parent.as_posix()
    whole = bare if parent == "." else f"{parent}/{bare}"
    return tuple(dict.fromkeys((path.as_posix(), whole, path.name, bare)))


def _others(missing: list[str]) -> str:
    return f", and {len(missing) - 1} others" if len(missing) > 1 else ""
