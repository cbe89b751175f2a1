"""A label map on disk that is saved again and again while somebody paints on it.

The map is cut into slabs along its first axis. Each slab is a compressed file named by its content, and an index names
the slabs: so a save writes what changed, and a process that is killed in the middle of it leaves the save before.
"""

import hashlib
import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_medseg.errors import ReadError
from napari_medseg.training.atomic import write_file, write_text

VERSION = 1
INDEX = "index.json"
SLAB_BYTES = 1 << 22
FAST = 1
"""Level of zlib; label maps are mostly runs of one value."""
DAMAGED = "Restore the project from a backup, or start these labels anew."


@dataclass(frozen=True)
class _Index:
    shape: tuple[int, ...]
    dtype: str
    rows: int
    slabs: tuple[str, ...]
    """Names of the slabs' files without suffix, in order; empty for a slab of zeros."""
    header: Mapping[str, Any]


class SlabStore:
    """Saves one label map in a folder, and reads it back.

    Parameters
    ----------
    folder : Path
        Made with the first save. One process at a time writes to it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._saved: _Index | None = None

    @property
    def index(self) -> Path:
        """The file that is written last."""
        return self.folder / INDEX

    def exists(self) -> bool:
        """Return whether something was saved."""
        return self.index.is_file()

    def save(self, labels: NDArray[np.integer], header: Mapping[str, Any], rows: slice | None = None) -> bool:
        """Bring the folder up to date.

        Parameters
        ----------
        labels : integer array
            May be painted on meanwhile: what is written is as it was at some moment of the call, slab by slab.
        header : mapping
            Whatever JSON can hold, to be kept with it.
        rows : slice, optional
            Where along the first axis to look for changes since the last save through this object; everywhere if None.

        Returns
        -------
        bool
            Whether anything had changed.

        Raises
        ------
        OSError
            If the disk does not take it; what was saved before stays.
        """
        before = self._saved or (self._read_index() if self.exists() else None)
        height = max(1, SLAB_BYTES // max(1, labels[:1].nbytes))
        like = before is not None and before.shape == labels.shape and before.dtype == labels.dtype.str
        like = like and before is not None and before.rows == height
        names = list(before.slabs) if like and before is not None else [""] * -(-labels.shape[0] // height)
        first, last, _ = (rows or slice(None)).indices(labels.shape[0]) if like else (0, labels.shape[0], 1)
        for number in range(first // height, -(-last // height)):
            names[number] = self._write_slab(np.array(labels[number * height : (number + 1) * height]))
        index = _Index(labels.shape, labels.dtype.str, height, tuple(names), dict(header))
        changed = index != before
        if changed:
            write_text(self.index, json.dumps({"version": VERSION, **index.__dict__}, indent=1))
        self._saved = index
        self._remove_unused(index)
        return changed

    def load(self) -> tuple[NDArray[np.integer], dict[str, Any]]:
        """Return the label map and its header.

        Raises
        ------
        ReadError
            If a file is missing or damaged.
        """
        index = self._read_index()
        labels: NDArray[np.integer] = np.zeros(index.shape, np.dtype(index.dtype))
        for number, name in enumerate(index.slabs):
            if name:
                part = labels[number * index.rows : (number + 1) * index.rows]
                part[...] = np.frombuffer(self._read_slab(name), part.dtype).reshape(part.shape)
        return labels, dict(index.header)

    def _write_slab(self, slab: NDArray[np.integer]) -> str:
        if not slab.any():
            return ""
        name = hashlib.blake2b(slab.tobytes(), digest_size=16).hexdigest()
        path = self.folder / f"{name}.slab"
        if not path.exists():
            packed = zlib.compress(slab.tobytes(), FAST)
            write_file(path, lambda file: file.write(packed))
        return name

    def _read_slab(self, name: str) -> bytes:
        try:
            content = zlib.decompress((self.folder / f"{name}.slab").read_bytes())
        except (OSError, zlib.error) as error:
            raise ReadError(f"A part of the labels in {self.folder.name} cannot be read ({error}).", DAMAGED) from error
        if hashlib.blake2b(content, digest_size=16).hexdigest() != name:
            raise ReadError(f"A part of the labels in {self.folder.name} is not what was saved.", DAMAGED)
        return content

    def _read_index(self) -> _Index:
        try:
            found = json.loads(self.index.read_text(encoding="utf-8"))
            if found.pop("version") != VERSION:
                raise ReadError("The labels were saved by a later version.", "Update napari-medseg.")
            found["shape"], found["slabs"] = tuple(found["shape"]), tuple(found["slabs"])
            return _Index(**found)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ReadError(f"The labels in {self.folder.name} cannot be read ({error}).", DAMAGED) from error

    def _remove_unused(self, index: _Index) -> None:
        for path in self.folder.glob("*.slab"):
            if path.stem not in index.slabs:
                path.unlink(missing_ok=True)
