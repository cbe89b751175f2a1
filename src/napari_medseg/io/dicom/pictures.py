"""Decoding pictures of DICOM files in threads, each straight into the array where its values belong."""

import os
from collections import defaultdict
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from napari_medseg.io.dicom.compressed import can_seek, stored_frames
from napari_medseg.io.dicom.convert import Conversion
from napari_medseg.io.dicom.frame import Frame
from napari_medseg.io.dicom.plain import can_fill, fill, fits_memory
from napari_medseg.io.format import ReadOptions

if TYPE_CHECKING:
    from napari_medseg.io.dicom.parser import DicomFile

WORKERS = min(8, os.cpu_count() or 1)
"""Threads that decode; decoders and numpy let others run meanwhile."""
BATCH_BYTES = 1 << 22
"""Of values that one task makes from pictures without compression: handing over a task costs time, too."""
COMPRESSED_BATCH = 4
"""Compressed pictures that one task decodes."""

Target = tuple[Frame, NDArray[Any]]
"""A frame and the array for its values."""


class TooNarrowError(Exception):
    """A value does not fit the type that was tried."""


@dataclass(frozen=True, eq=False)
class Work:
    """Pictures of one file that are best decoded one after another."""

    conversion: Conversion
    by_index: dict[int, list[Target]]
    """By number of the stored picture; a mosaic goes to several arrays."""

    def run(self, *, check: bool) -> None:
        """Fill the arrays.

        Raises
        ------
        TooNarrowError
            If `check` is set and a value does not fit the type of its array.
        """
        form = self.conversion.form
        whole = [self._fills_memory(entries) for entries in self.by_index.values()]
        memory = next(iter(self.by_index.values()))[0][1] if len(whole) == 1 and whole[0] else None
        if memory is not None and can_fill(form):
            (index,) = self.by_index
            self._into(self.by_index[index], fill(form, index, memory), check=check)
            return
        stored = stored_frames(form, list(self.by_index), memory)
        for entries, picture in zip(self.by_index.values(), stored, strict=True):
            self._into(entries, picture, check=check)

    def _fills_memory(self, entries: list[Target]) -> bool:
        """Return whether a picture can be unpacked in the memory of its only array."""
        (frame, target), *others = entries
        plain = frame.tile is None and not others and self.conversion.in_place
        return plain and fits_memory(self.conversion.form, target)

    def _into(self, entries: list[Target], stored: NDArray[Any], *, check: bool) -> None:
        for frame, target in entries:
            if check and not self.conversion.fits(target.dtype, stored, frame):
                raise TooNarrowError
            self.conversion.into(target, _tile(stored, frame), frame)


def decode(
    targets: Iterable[Target],
    conversions: "dict[DicomFile, Conversion]",
    options: ReadOptions,
    *,
    stage: str = "Reading",
    check: bool = False,
) -> None:
    """Fill arrays with the values of frames.

    Parameters
    ----------
    targets : iterable of (Frame, array)
        Arrays are (rows, columns[, 3]), all of one size and type.
    conversions : dict
        What is done to the pixels of each file.
    options : ReadOptions
        Progress and cancelling.
    stage : str
        What the user is told.
    check : bool
        Whether to raise `TooNarrowError` where a value does not fit the type of its array.
    """
    batches, total, done = _batches(list(targets), conversions), 0, 0
    total = sum(len(work.by_index) for batch in batches for work in batch)
    with ThreadPoolExecutor(WORKERS) as pool:
        pending = [pool.submit(_run, batch, check=check) for batch in batches]
        try:
            for batch, future in zip(batches, pending, strict=True):
                options.step(stage, done, total)
                future.result()
                done += sum(len(work.by_index) for work in batch)
        finally:
            pool.shutdown(cancel_futures=True)


def _run(batch: list[Work], *, check: bool) -> None:
    for work in batch:
        work.run(check=check)


def _batches(targets: list[Target], conversions: "dict[DicomFile, Conversion]") -> list[list[Work]]:
    """Return what each task does: some pictures, of one file or several."""
    by_file: dict[DicomFile, dict[int, list[Target]]] = defaultdict(lambda: defaultdict(list))
    for frame, target in targets:
        by_file[frame.file][frame.index].append((frame, target))
    batches: list[list[Work]] = []
    room = 0
    for file, pictures in by_file.items():
        conversion = conversions[file]
        alone = can_seek(conversion.form)
        for part in [{index: entries} for index, entries in pictures.items()] if alone else [pictures]:
            if room <= 0:
                batches.append([])
                room = _batch_size(conversion, targets[0][1])
            batches[-1].append(Work(conversion, part))
            room -= len(part)
    return batches


def _batch_size(conversion: Conversion, target: NDArray[Any]) -> int:
    if conversion.form.element.length is None:
        return COMPRESSED_BATCH
    return max(1, BATCH_BYTES // max(1, target.nbytes))


def _tile(stored: NDArray[Any], frame: Frame) -> NDArray[Any]:
    if frame.tile is None:
        return stored
    row, column = frame.tile
    return stored[row : row + frame.rows, column : column + frame.columns]
