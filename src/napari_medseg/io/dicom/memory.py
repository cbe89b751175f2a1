"""The headers that were parsed last, so that reading after a scan opens no file twice for its header."""

import os
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from napari_medseg.errors import ReadError
from napari_medseg.io.dicom.parser import DicomFile

MOST_HEADERS = 20_000
MOST_BYTES = 1 << 20
"""Of one header: those of long multi-frame files are parsed anew."""
SETTLED_NS = 2_000_000_000
"""A file that was changed less than this ago may change once more without its time of change telling."""


@dataclass(frozen=True, slots=True)
class Place:
    """A file as it was listed; one that was changed since is another."""

    path: Path
    size: int
    changed_ns: int
    """Time of its last change in ns."""

    @classmethod
    def of(cls, path: Path, status: os.stat_result | None = None) -> Self:
        """Return the place of a file that exists."""
        status = path.stat() if status is None else status
        return cls(path, status.st_size, status.st_mtime_ns)


@dataclass(frozen=True, slots=True)
class Header:
    """What parsing a file gave: a header, None if it is not DICOM, or what is wrong with it."""

    content: DicomFile | ReadError | None

    @property
    def is_small(self) -> bool:
        """Whether it takes little memory."""
        file = self.content
        if not isinstance(file, DicomFile):
            return True
        pixels = file.pixels
        length = file.size if pixels is None else pixels.offset
        return length <= MOST_BYTES and (pixels is None or pixels.inflated is None)


class Memory:
    """The headers of the files that were seen last, in this process only. Thread-safe."""

    def __init__(self, most: int = MOST_HEADERS) -> None:
        self._most = most
        self._headers: OrderedDict[Path, tuple[Place, Header]] = OrderedDict()
        self._lock = threading.Lock()

    def known(self, places: list[Place]) -> list[Header | None]:
        """Return the header of each file that is known and was not changed since."""
        with self._lock:
            found = [self._headers.get(place.path) for place in places]
        return [
            entry[1] if entry is not None and entry[0] == place else None
            for place, entry in zip(places, found, strict=True)
        ]

    def keep(self, places: list[Place], headers: list[Header | None]) -> None:
        """Keep headers for later, and forget those that were not asked for the longest time."""
        settled = time.time_ns() - SETTLED_NS
        with self._lock:
            for place, header in zip(places, headers, strict=True):
                if header is not None and header.is_small and place.changed_ns < settled:
                    self._headers[place.path] = place, header
                    self._headers.move_to_end(place.path)
            while len(self._headers) > self._most:
                self._headers.popitem(last=False)

    def forget(self) -> None:
        """Keep nothing."""
        with self._lock:
            self._headers.clear()


HEADERS = Memory()
