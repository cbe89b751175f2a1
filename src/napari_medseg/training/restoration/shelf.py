"""Images of a set that need not fit into memory."""

import shutil
from pathlib import Path

import numpy as np
from numpy.typing import NDArray


class Shelf:
    """Arrays in files of a folder, of which only what is looked at is in memory.

    Parameters
    ----------
    folder : Path
        Becomes empty.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._count = 0
        self.clear()

    def keep(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return a read-only memory map of an array, which itself can be forgotten."""
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / f"{self._count}.npy"
        self._count += 1
        np.save(path, values)
        kept: NDArray[np.float32] = np.load(path, mmap_mode="r")
        return kept

    def clear(self) -> None:
        """Remove the files; arrays that are still in use stay readable where the system allows that."""
        shutil.rmtree(self.folder, ignore_errors=True)
