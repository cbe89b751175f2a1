"""From a run's configuration to samples on the network's grid."""

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_medseg import io
from napari_medseg.data import Sample, make_sample
from napari_medseg.data.grid import GridMap
from napari_medseg.data.label_array import labels_on
from napari_medseg.errors import ConfigError, DataError
from napari_medseg.inference.pipelines.nnunet import prepare
from napari_medseg.inference.preprocess import ModelGrid, to_model_grid
from napari_medseg.models import ModelSpec
from napari_medseg.models.pipeline import NnUNet
from napari_medseg.training.config import TrainConfig
from napari_medseg.training.part import Part
from napari_medseg.training.run import Case
from napari_medseg.volume import Geometry, Volume

SIDES = re.compile(r"(?:^|[^a-z])(?:left|right|links|rechts|l|r|lh|rh)(?:$|[^a-z])", re.IGNORECASE)


@dataclass(frozen=True, eq=False)
class Taken:
    """A part of a label map as it was when it was read."""

    start: tuple[int, ...]
    """First index along each axis of the image's own array."""
    values: NDArray[np.generic]

    @property
    def stop(self) -> tuple[int, ...]:
        """One past the last index along each axis."""
        return tuple(first + size for first, size in zip(self.start, self.values.shape, strict=True))


@dataclass(frozen=True, eq=False)
class LoadedCase:
    """A case in memory."""

    case: Case
    grid: ModelGrid
    """The image as the network sees it."""
    sample: Sample
    """The same image with its labels; shares the image's memory."""
    part: Part | None = None
    """What of the image is on the grid; None for all."""
    geometry: Geometry | None = None
    """Where the image's own array lies."""

    def reread(self, start: tuple[int, ...] | None = None, stop: tuple[int, ...] | None = None) -> Taken:
        """Take over labels that were edited on disk, from `start` up to `stop` of the image's array; return them."""
        labels = labels_on(_read_one(self.case.labels), self.sample.grid.shape, self.geometry, self.case.id)
        box = tuple(
            slice(first, last) for first, last in zip(start or (0,) * labels.ndim, stop or labels.shape, strict=True)
        )
        # Once only: somebody may go on painting, and what is returned has to be what was taken.
        taken = Taken(tuple(part.start for part in box), np.array(labels[box]))
        alone = np.zeros(labels.shape, labels.dtype)
        alone[box] = taken.values
        self.sample.relabel(alone, taken.start, taken.stop)
        return taken


def load_case(
    case: Case, spec: ModelSpec, keep: Callable[[Case, NDArray[np.generic]], object] | None = None
) -> LoadedCase:
    """Read a case and bring it to a model's grid.

    Parameters
    ----------
    case : Case
        Where image and labels are.
    spec : ModelSpec
        The model.
    keep : callable, optional
        Gets the case and its label map as it is used here, even if the file is edited meanwhile.

    Raises
    ------
    ReadError
        If a file cannot be read.
    GeometryError, DataError, BundleError
        If labels and image, or image and model, do not belong together.
    """
    image, labels = _read_one(case.image), _read_one(case.labels)
    painted = np.array(labels_on(labels, image.spatial_shape, image.geometry, case.id))
    grid, where, part = _on_grid(image, spec)
    if keep is not None:
        keep(case, painted)
    sample = make_sample(
        grid.image.numpy(),
        painted,
        spec.classes,
        scheme=case.scheme,
        grid=where,
        id=case.id,
        group=case.group,
    )
    return LoadedCase(case, grid, sample, part, image.geometry)


def _on_grid(image: Volume, spec: ModelSpec) -> tuple[ModelGrid, GridMap, Part | None]:
    """Return the image as the network sees it, where that lies in its own array, and what of it there is."""
    if isinstance(spec.pipeline, NnUNet):
        prepared = prepare(image, spec, spec.pipeline)
        part = Part.of(prepared)
        return prepared.grid, part.map(grid_map(prepared.grid)), part
    grid = to_model_grid(image, spec)
    return grid, grid_map(grid), None


def training_data_hash(case: LoadedCase) -> str:
    """Return the SHA-256, in hexadecimal, of an image and its labels as a network sees them."""
    digest = hashlib.sha256()
    for array in (case.sample.image, case.sample.target):
        digest.update(array.tobytes())
    return digest.hexdigest()


def grid_map(grid: ModelGrid) -> GridMap:
    """Return where the voxels of a network's grid lie in the image's own array."""
    placement = grid.placement
    indices = []
    for axis, (size, flipped) in enumerate(zip(placement.grid_shape, placement.flips, strict=True)):
        own = np.arange(size)[::-1] if flipped else np.arange(size)
        indices.append(own[nearest] if (nearest := _nearest(grid, axis)) is not None else own)
        if nearest is not None:
            indices[-1][(nearest < 0) | (nearest >= size)] = -1
    z, y, x = indices
    return GridMap(placement.shape, placement.axes, (z, y, x))


def patched(spec: ModelSpec, config: TrainConfig) -> ModelSpec:
    """Return the specification with the patch that the user asked for, if any."""
    if config.patch_size is None:
        return spec
    if len(config.patch_size) != spec.dims:
        raise ConfigError(
            f"The patch size {config.patch_size} needs {spec.dims} numbers for {spec.name}.",
            "Correct it, or leave it out.",
        )
    return spec.model_copy(update={"patch_size": config.patch_size})


def flip_axes(spec: ModelSpec, config: TrainConfig) -> tuple[int, ...]:
    """Return the axes of (z, y, x) along which patches may be mirrored: not left-right when classes have a side."""
    if not config.flips:
        return ()
    sided = any(SIDES.search(c.name.replace("_", " ")) for c in spec.foreground)
    axes = range(3 - spec.dims, 3)
    if not sided:
        return tuple(axes)
    # The axes of nnU-Net's grid are those of each file.
    if spec.axcodes is None or spec.pipeline is not None:
        return ()
    return tuple(axis for axis in axes if spec.axcodes[axis] not in "LR")


def _nearest(grid: ModelGrid, axis: int) -> NDArray[np.intp] | None:
    native, geometry = grid.placement.native, grid.geometry
    if native is None or geometry is None or not grid.resampled:
        return None
    transform = np.linalg.solve(native.affine, geometry.affine)
    position = transform[axis, axis] * np.arange(geometry.shape[axis]) + transform[axis, 3]
    # the lower one of two equally near, also when rounding errors make one of them nearer
    nearest: NDArray[np.intp] = np.ceil(position - 0.5 - 1e-6).astype(np.intp)
    return nearest


def _read_one(path: Path) -> Volume:
    volumes = io.read(path, suv=True)
    if len(volumes) != 1:
        raise DataError(
            f"{path.name} holds {len(volumes)} images, where one is needed.",
            "Convert the one you mean to its own file.",
        )
    return volumes[0]
