"""What a file format is to this package: one file in `formats/` that ends in ``FORMAT = Format(...)``."""

import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Literal

from napari_medseg.io.limits import MEMORY_SHARE
from napari_medseg.progress import Control, Progress
from napari_medseg.volume import Volume


def _ignore(_progress: Progress) -> None:
    """Tell nobody."""


@dataclass(frozen=True)
class ReadOptions:
    """What the caller of a read wants to choose, see and stop."""

    control: Control = field(default_factory=Control)
    series: frozenset[str] | None = None
    """Opaque series ids or series instance UIDs to read; None for all."""
    report: Callable[[Progress], None] = _ignore
    """Called with the progress, from the thread that reads."""
    memory_share: float = MEMORY_SHARE
    """Volumes that take more than this share of the free memory are opened without reading them whole."""

    def step(self, stage: str, done: int, total: int) -> None:
        """Stop if asked to, and tell how far the reading has come."""
        self.control.checkpoint()
        self.report(Progress(stage, done, total))

    def wants(self, series_id: str) -> bool:
        """Return whether a volume is to be read: it, or the whole series that it is part of, was asked for."""
        names = {series_id, series_id.partition("-")[0]}
        return self.series is None or bool(names & {*self.series, *map(opaque_id, self.series)})


@dataclass(frozen=True)
class SeriesInfo:
    """One volume that `read` would return, as far as its headers tell."""

    series_id: str
    """Opaque identifier to read just this series by."""
    format: str
    name: str
    path: Path
    """What to pass to `read`."""
    files: int
    """Number of files the volume is made of."""
    shape: tuple[int, ...]
    """Shape of the array: leading axes, spatial axes nearest to (z, y, x), colour."""
    spacing: tuple[float, ...] | None
    """mm between voxels along the spatial axes; None without geometry."""
    axcodes: str | None = None
    """Directions in which the spatial axes grow, such as ``"SPL"``."""
    axes: tuple[str, ...] = ()
    """Names of the leading axes."""
    kind: Literal["image", "labels"] = "image"
    modality: str | None = None
    description: str = ""
    """The series description in the file. May be free text that a hospital wrote, so never log it."""
    rgb: bool = False
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Written:
    """What reading a file that was just written must give, where that is not simply the volume as it was."""

    volume: Volume
    tolerance: float = 0.0
    """Largest difference of a value, in the volume's units: not 0 where a format can only hold rounded values."""
    notes: tuple[str, ...] = ()
    """What the file could not hold or had to assume, one sentence each."""
    read: Callable[[Path], list[Volume]] | None = None
    """How to read it back, where `Format.read` would need other files beside it."""


@dataclass(frozen=True)
class Format:
    """A family of files that can be read, and perhaps written."""

    name: str
    """Short, lower case, unique."""
    title: str
    """As shown in file dialogs."""
    patterns: tuple[str, ...]
    """Lower-case file name patterns, matched without regard to case."""
    can_read: Callable[[Path], bool]
    """Whether the file or folder looks like this format; reads a few bytes at most."""
    read: Callable[[Path, ReadOptions], list[Volume]]
    scan: Callable[[Path, ReadOptions], list[SeriesInfo]]
    """As `read`, from the headers alone."""
    write: Callable[[Volume, Path], Written | None] | None = None
    """Write one volume to a new path; None for a format that is only read."""
    written: tuple[str, ...] = ()
    """Those of the patterns that can be written."""
    writes_folders: bool = False
    """Whether an image may be written to a folder, which needs no suffix."""
    is_own_folder: Callable[[Path], bool] | None = None
    """Whether a folder holds what this format wrote and nothing else, so that it may be replaced."""

    def matches(self, path: Path) -> bool:
        """Return whether the name of `path` fits one of the patterns."""
        return _fits(path, self.patterns)

    def can_write(self, path: Path) -> bool:
        """Return whether the name of `path` is one that this format writes."""
        return self.write is not None and _fits(path, self.written)


def _fits(path: Path, patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(path.name.lower(), pattern) for pattern in patterns)


@cache
def formats() -> tuple[Format, ...]:
    """Return all formats, sorted by name; one per file of `napari_medseg.io.formats`."""
    package = importlib.import_module("napari_medseg.io.formats")
    modules = (importlib.import_module(f"{package.__name__}.{m.name}") for m in pkgutil.iter_modules(package.__path__))
    return tuple(sorted((module.FORMAT for module in modules), key=lambda found: str(found.name)))


def opaque_id(identifier: str) -> str:
    """Return a short hash that tells series apart and says nothing about the patient.

    Examples
    --------
    >>> opaque_id("1.2.840.1")
    'f9a13599155b'
    """
    return sha256(identifier.encode()).hexdigest()[:12]


def info_of(volume: Volume, path: Path, format_name: str) -> SeriesInfo:
    """Return the entry of a volume that was read; for formats whose headers cost as much as the whole file."""
    grid = volume.geometry
    return SeriesInfo(
        series_id=volume.series_id or opaque_id(f"{path}:{volume.name}"),
        format=format_name,
        name=volume.name,
        path=path,
        files=1,
        shape=tuple(int(n) for n in volume.data.shape),
        spacing=None if grid is None else grid.spacing,
        axcodes=None if grid is None else grid.axcodes,
        axes=volume.axes,
        kind=volume.kind,
        modality=volume.modality,
        rgb=volume.rgb,
        warnings=volume.warnings,
    )


def stem(path: Path) -> str:
    """Return the file name without its image suffixes; a number is none, as files may be named by their identifier.

    Examples
    --------
    >>> stem(Path("scans/brain.v2.NII.GZ")), stem(Path("CT.1.2.840.16"))
    ('brain.v2', 'CT.1.2.840.16')
    """
    name = path.name
    if name.lower().endswith((".gz", ".bz2", ".zst")):
        name = name.rpartition(".")[0]
    head, dot, suffix = name.rpartition(".")
    return head if dot and head and not suffix.isdigit() else name
