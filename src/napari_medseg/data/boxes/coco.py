"""COCO JSON: ``bbox`` is [x, y, width, height], where x and y are the edges of pixels as in our own convention."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from napari_medseg.data.boxes.masks import mask_on_grid, run_lengths
from napari_medseg.data.boxes.source import BoxSource, Outline, Row, gathered, without_extent
from napari_medseg.errors import DataError
from napari_medseg.prediction import Boxes
from napari_medseg.volume import LabelClass


class _Image(BaseModel):
    model_config = ConfigDict(frozen=True)
    id: int
    file_name: str
    width: int | None = None
    height: int | None = None


class _Annotation(BaseModel):
    model_config = ConfigDict(frozen=True)
    image_id: int
    category_id: int
    bbox: Annotated[tuple[float, ...], Field(min_length=4, max_length=6)]
    segmentation: list[list[float]] | dict[str, Any] | None = None
    iscrowd: int = 0
    score: float = 1.0


class _Category(BaseModel):
    model_config = ConfigDict(frozen=True)
    id: Annotated[int, Field(ge=0)]
    name: Annotated[str, Field(min_length=1)]


class _Content(BaseModel):
    model_config = ConfigDict(frozen=True)
    images: tuple[_Image, ...]
    annotations: tuple[_Annotation, ...] = ()
    categories: tuple[_Category, ...]


def read_coco(path: Path) -> BoxSource:
    """Read the boxes of a COCO file; categories keep their numbers, moved up by one where there is a 0.

    Raises
    ------
    DataError
        If it is no such file.
    """
    content = _content(path)
    shift = int(any(c.id == 0 for c in content.categories))
    classes = tuple(LabelClass(value=c.id + shift, name=c.name) for c in content.categories)
    label = {c.id: c.name for c in content.categories}
    name = {image.id: image.file_name for image in content.images}
    lengths = {len(a.bbox) for a in content.annotations} or {4}
    if len(lengths) > 1 or len(set(name.values())) < len(name):
        raise DataError(f"{path.name} names an image twice or mixes planes and volumes.", "Repair the file.")
    rows: dict[str, list[Row]] = {image.file_name: [] for image in content.images}
    crowds: dict[str, list[Row]] = {}
    outlines: dict[str, list[Outline]] = {}
    for found in content.annotations:
        if found.image_id not in name or found.category_id not in label:
            raise DataError(
                f"{path.name} has an annotation of image {found.image_id} and category {found.category_id}, "
                "which it does not list.",
                "Repair the file.",
            )
        row = (label[found.category_id], edges_of(found.bbox), found.score)
        (crowds if found.iscrowd else rows).setdefault(name[found.image_id], []).append(row)
        if not found.iscrowd and min(found.bbox[len(found.bbox) // 2 :]) > 0:
            outlines.setdefault(name[found.image_id], []).append(found.segmentation or None)
    axes = lengths.pop() // 2
    kept, notes = without_extent(rows)
    sizes = {i.file_name: (i.height, i.width) for i in content.images if i.width and i.height}
    ids = {image.file_name: image.id for image in content.images}
    return BoxSource(
        classes,
        gathered(kept, classes, axes),
        ignored=gathered(crowds, classes, axes),
        sizes={name: size for name, size in sizes.items() if size[0] is not None and size[1] is not None},
        ids=ids,
        outlines={name: tuple(each) for name, each in outlines.items() if all(each)},
        notes=notes,
    )


def edges_of(bbox: tuple[float, ...]) -> tuple[float, ...]:
    """Return starts and stops along the axes of the array from [x, y[, z], width, height[, depth]].

    Examples
    --------
    >>> edges_of((2.0, 5.0, 10.0, 4.0))
    (5.0, 2.0, 9.0, 12.0)
    """
    half = len(bbox) // 2
    starts, lengths = bbox[:half], bbox[half:]
    stops = tuple(start + length for start, length in zip(starts, lengths, strict=True))
    return (*reversed(starts), *reversed(stops))


def coco_results(
    boxes: Mapping[str, Boxes], ids: Mapping[str, int], sizes: Mapping[str, tuple[int, ...]] | None = None
) -> list[dict[str, Any]]:
    """Return the boxes of images as a list of COCO results.

    Parameters
    ----------
    boxes : mapping of str to Boxes
        By image.
    ids : mapping of str to int
        ``image_id`` of each image.
    sizes : mapping of str to tuple of int, optional
        Voxels of each image; with them boxes that have masks get a ``segmentation``, in run lengths.

    Returns
    -------
    list of dict
        With ``image_id``, ``category_id`` (the class value), ``bbox`` and ``score``. For volumes ``bbox`` has six
        numbers, [x, y, z, width, height, depth].
    """
    found = []
    for name, each in boxes.items():
        facts = zip(bboxes_of(each), each.labels.tolist(), each.scores.round(6).tolist(), strict=True)
        results = [{"image_id": ids[name], "category_id": k, "bbox": bbox, "score": score} for bbox, k, score in facts]
        if each.masks is not None and sizes is not None:
            for number, result in enumerate(results):
                whole = np.zeros(sizes[name][-2:], bool)
                part, mask = mask_on_grid(each.edges[number], each.masks[number], whole.shape)
                whole[part] = mask
                result["segmentation"] = run_lengths(whole)
        found += results
    return found


def bboxes_of(boxes: Boxes) -> list[list[float]]:
    """Return [x, y[, z], width, height[, depth]] of each box."""
    reverse = slice(None, None, -1)
    both = np.concatenate([boxes.edges[:, 0, reverse], boxes.sizes[:, reverse]], axis=1)
    return [[round(value, 4) for value in row] for row in both.tolist()]


def coco_content(
    boxes: Mapping[str, Boxes], sizes: Mapping[str, tuple[int, ...]], classes: Iterable[LabelClass]
) -> dict[str, Any]:
    """Return boxes as the content of a COCO file that `read_coco` reads.

    Parameters
    ----------
    boxes : mapping of str to Boxes
        By image.
    sizes : mapping of str to tuple of int
        Voxels of each image along the axes of its array.
    classes : iterable of LabelClass
        The categories.
    """
    ids = {name: number for number, name in enumerate(boxes, start=1)}
    images = [
        {"id": ids[name], "file_name": name, "width": int(sizes[name][-1]), "height": int(sizes[name][-2])}
        | ({"depth": int(sizes[name][0])} if len(sizes[name]) == 3 else {})
        for name in boxes
    ]
    annotations = [
        {**result, "id": number, "iscrowd": 0, "area": float(np.prod(result["bbox"][len(result["bbox"]) // 2 :]))}
        for number, result in enumerate(coco_results(boxes, ids, sizes), start=1)
    ]
    return {
        "images": images,
        "annotations": annotations,
        "categories": [{"id": c.value, "name": c.name} for c in classes],
    }


def _content(path: Path) -> _Content:
    try:
        return _Content.model_validate(json.loads(path.read_text(encoding="utf-8-sig")))
    except (OSError, ValueError, RecursionError) as error:
        detail = (
            f"{error.errors()[0]['loc']}: {error.errors()[0]['msg']}" if isinstance(error, ValidationError) else error
        )
        raise DataError(
            f"{path.name} is no COCO file ({detail}).", "It needs images, annotations, categories."
        ) from error
