"""What a run was told while it ran: enough to do it again to the same weights.

Everything random follows from the seed and the step, so a run is settled by its configuration, the labels that each of
its sessions began with, the edits that reached it, with their step, and the step at which it ended.
"""

import hashlib
import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from napari_medseg.errors import ConfigError
from napari_medseg.training.prepare import LoadedCase, Taken
from napari_medseg.training.run import Case, RunFolder

FAST = 1
"""Level of zlib: strokes are mostly zeros, and painting should not wait."""


@dataclass(frozen=True, eq=False)
class Edit:
    """Labels that were edited while the run went on."""

    step: int
    """Steps taken before the edit was heard of."""
    case: str
    """Identifier of the case."""
    taken: Taken


@dataclass(eq=False)
class Record:
    """One session of a run, from its opening or from a checkpoint on."""

    step: int
    """Of the checkpoint that it went on from; 0 for a new run."""
    threads: int
    """Of torch."""
    device: str
    images: dict[str, str]
    """Digest of each case's image as the network sees it."""
    labels: dict[str, str]
    """Digest of each case's label map at the opening."""
    kept: dict[str, NDArray[np.generic]]
    """Label maps at the opening, of those cases whose file may be edited in place."""
    edits: list[Edit] = field(default_factory=list)
    planned: int | None = None
    """Steps that a time budget was turned into."""
    ended: int | None = None
    """Step at which it came to an end by itself or by the user's wish; None after a crash."""
    cancelled: bool = False


class Journal:
    """Writes what happens to a run.

    Parameters
    ----------
    run : RunFolder
        The run.
    """

    def __init__(self, run: RunFolder) -> None:
        self._run = run
        self._labels: dict[str, str] = {}
        self._kept: dict[str, dict[str, Any]] = {}

    def keep(self, case: Case, labels: NDArray[np.generic]) -> None:
        """Note the label map that a case begins with; maps inside the run's folder are edited in place, so kept."""
        self._labels[case.id] = digest(labels)
        if case.labels.resolve().is_relative_to(self._run.path.resolve()):
            self._kept[case.id] = self._store(labels)

    def begin(self, step: int, cases: Sequence[LoadedCase], device: torch.device) -> None:
        """Note that a session begins, after `keep` was called for each case."""
        images = {case.case.id: digest(case.sample.image) for case in cases}
        self._write(
            "begin", step=step, threads=torch.get_num_threads(), device=str(device), images=images,
            labels=self._labels, kept=self._kept,
        )  # fmt: skip

    def edit(self, step: int, case: str, taken: Taken) -> None:
        """Note edited labels that were taken over after so many steps."""
        self._write("edit", step=step, case=case, start=taken.start, **self._store(taken.values))

    def plan(self, steps: int) -> None:
        """Note the number of steps that a time budget was turned into."""
        self._write("plan", steps=steps)

    def end(self, step: int, cancelled: bool) -> None:
        """Note that the session came to an end after so many steps."""
        self._write("end", step=step, cancelled=cancelled)

    def _store(self, values: NDArray[np.generic]) -> dict[str, Any]:
        """Append an array to the run's arrays, and return where it is."""
        packed = zlib.compress(np.ascontiguousarray(values).tobytes(), FAST)
        with self._run.arrays.open("ab") as file:
            place = file.tell()
            file.write(packed)
        return {"at": place, "bytes": len(packed), "dtype": values.dtype.str, "shape": values.shape}

    def _write(self, kind: str, **content: object) -> None:
        with self._run.journal.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"kind": kind, **content}) + "\n")


def read_journal(run: RunFolder) -> list[Record]:
    """Return the sessions of a run, in order.

    Raises
    ------
    ConfigError
        If the run has no journal, or a damaged one.
    """
    try:
        lines = run.journal.read_text(encoding="utf-8").splitlines()
        packed = run.arrays.read_bytes() if run.arrays.exists() else b""
        records: list[Record] = []
        for line in lines:
            _take(json.loads(line), records, packed)
    except FileNotFoundError as error:
        raise ConfigError(
            f"{run.path} has no journal, so it cannot be replayed.", "Choose the folder of a run that has begun."
        ) from error
    except (OSError, ValueError, KeyError, TypeError, IndexError, zlib.error) as error:
        raise ConfigError(f"The journal of {run.path} is damaged ({error}).", "Train anew.") from error
    return records


def _take(entry: dict[str, Any], records: list[Record], packed: bytes) -> None:
    """Add what a line of the journal says to the sessions before it."""
    kind = entry.pop("kind")
    if kind == "begin":
        kept = {case: _load(place, packed) for case, place in entry.pop("kept").items()}
        records.append(Record(kept=kept, **entry))
    elif kind == "edit":
        values = _load(entry, packed)
        start = tuple(entry["start"])
        records[-1].edits.append(Edit(entry["step"], entry["case"], Taken(start, values)))
    elif kind == "plan":
        records[-1].planned = entry["steps"]
    else:
        records[-1].ended, records[-1].cancelled = entry["step"], entry["cancelled"]


def _load(place: dict[str, Any], packed: bytes) -> NDArray[np.generic]:
    content = zlib.decompress(packed[place["at"] : place["at"] + place["bytes"]])
    return np.frombuffer(content, np.dtype(place["dtype"])).reshape(place["shape"])


def digest(array: NDArray[Any]) -> str:
    """Return a digest of an array's type, shape and values."""
    found = hashlib.blake2b(f"{array.dtype.str}{array.shape}".encode(), digest_size=16)
    for part in array if array.ndim else [array]:
        found.update(np.ascontiguousarray(part).data)
    return found.hexdigest()
