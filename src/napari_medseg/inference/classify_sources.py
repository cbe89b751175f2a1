"""What to classify: files, folders, npz files, lists, tables with covariates, and regions of images."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_medseg.data.label_array import labels_on
from napari_medseg.data.labelled.crop import regions_of
from napari_medseg.data.labelled.images import Pictures
from napari_medseg.data.labelled.listing import PARTS, open_npz, pictures_of
from napari_medseg.data.labelled.table import REGION_MARK, Box, read_table
from napari_medseg.data.labelled.tree import holds_series, tree_of
from napari_medseg.errors import ConfigError, DataError
from napari_medseg.inference.cases import find_cases
from napari_medseg.io import read
from napari_medseg.io.format import stem
from napari_medseg.io.named import by_stem
from napari_medseg.models import Bundle, ModelSpec
from napari_medseg.models.spec import Crop


@dataclass(frozen=True, eq=False)
class Chosen:
    """Images to classify, and what is known beside them."""

    pictures: Pictures
    facts: tuple[tuple[str, ...], ...] = ()
    """Covariates of each, in the model's order; empty if there are none."""


def chosen_pictures(
    model: Bundle, sources: Sequence[Path], table: Path | None = None, regions: Path | None = None
) -> Iterator[Chosen]:
    """Yield the images of each source.

    Parameters
    ----------
    model : Bundle
        Of a classification.
    sources : sequence of Path
        Each an npz file (if wanted with ``:test``), a folder of any depth, an image, or a list of them.
    table : Path, optional
        CSV with ``image`` and the model's covariates, ``image2``, ``slice`` or boxes. Its lines are what is classified;
        the one source is the folder of its images.
    regions : Path, optional
        Folder of label maps named like the images, or one label map; each of their regions is classified.

    Raises
    ------
    DataError
        If there is no image.
    ConfigError
        If options contradict each other.
    """
    spec = model.spec
    if table is not None:
        if regions is not None or len(sources) != 1 or not sources[0].is_dir():
            raise ConfigError("A table of covariates goes with one folder of images.", "Leave out the others.")
        yield _of_table(spec, sources[0], table)
        return
    for source in sources:
        pictures = _pictures(source, spec.dims == 3)
        yield Chosen(pictures if regions is None else with_regions(pictures, regions, spec))


def _of_table(spec: ModelSpec, folder: Path, table: Path) -> Chosen:
    found = read_table(table, [covariate.name for covariate in spec.covariates], labelled=False)
    pictures = pictures_of([(folder, row) for row in found.rows], folder, spec.crop)
    return Chosen(pictures, tuple(row.facts for row in found.rows))


def with_regions(pictures: Pictures, regions: Path, spec: ModelSpec) -> Pictures:
    """Return the regions of images, as label maps of the same names give them.

    Parameters
    ----------
    pictures : Pictures
        Files.
    regions : Path
        Folder of label maps, or one label map for one image.
    spec : ModelSpec
        Of the model: one of planes sees the regions of each slice.

    Raises
    ------
    DataError
        If an image has no label map, or none has a region.
    """
    maps = by_stem(regions) if regions.is_dir() else {stem(path): regions for path in pictures.paths}
    names, paths = list[str](), list[Path]()
    boxes = list[Box]()
    for name, path in zip(pictures.names, pictures.paths, strict=True):
        if stem(path) not in maps:
            raise DataError(f"{name} has no label map in {regions}.", "Give each label map the name of its image.")
        labels = _regions_on(path, maps[stem(path)])
        found = [box for _value, box in regions_of(labels, each_slice=spec.dims == 2)]
        boxes += found
        names += [f"{name}{REGION_MARK}{k}" for k in range(1, len(found) + 1)]
        paths += [path] * len(found)
    if not boxes:
        raise DataError(f"The label maps in {regions} hold no region.", "Choose those that do.")
    return replace(
        pictures, names=tuple(names), paths=tuple(paths), boxes=tuple(boxes), crop=spec.crop or Crop(), more=()
    )


def _regions_on(path: Path, drawn: Path) -> NDArray[np.integer]:
    """Return the values of a label map along the axes of its image."""
    image = next((volume for volume in read(path) if volume.kind == "image"), None)
    if image is None:
        raise DataError(f"{path.name} holds no image.", "Choose a file or folder with images.")
    labels = labels_on(read(drawn)[0], image.spatial_shape, image.geometry, stem(path), "regions")
    return labels.astype(np.int64)


def _pictures(source: Path, volumes: bool) -> Pictures:
    head, _colon, part = str(source).rpartition(":")
    if source.suffix.lower() == ".npz":
        return open_npz(source)[0]
    if head.lower().endswith(".npz") and part in PARTS:
        return open_npz(Path(head), (part,))[0]
    if source.is_dir():
        # A folder of DICOM files is a volume for a model of volumes, and many images for one of planes.
        paths = [source] if volumes and holds_series(source) else tree_of(source, volumes)
        if not paths:
            raise DataError(f"{source} holds no image.", "Choose a file or folder with images.")
        names = (path.relative_to(source).as_posix() if path != source else source.name for path in paths)
        return Pictures(tuple(names), tuple(paths))
    if source.suffix.lower() in (".csv", ".txt") or not source.exists():
        cases, problems = find_cases([source])
        if problems:
            raise DataError(problems[0])
        return Pictures(tuple(case.path.name for case in cases), tuple(case.path for case in cases))
    return Pictures((source.name,), (source,))
