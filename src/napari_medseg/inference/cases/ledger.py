"""How far many cases have come."""

import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import TypeVar

from napari_medseg.inference.cases.records import CaseRecord, Records
from napari_medseg.inference.cases.request import Case
from napari_medseg.progress import Event, Note, Progress

MANIFEST_SECONDS = 5.0
"""At least so long between two updates of the manifest while cases are being done."""

COMPUTING = "Predicting"
"""Stage of a case that takes nearly all of its time."""

T = TypeVar("T")


@dataclass
class Clock:
    """Tells how far all cases have come from how far one has."""

    cases: int
    started: float
    """On the clock of ``time.monotonic()``."""

    def over_all(self, number: int, case: Case, events: Generator[Event, None, T]) -> Generator[Event, None, T]:
        """Yield the events of one case, its progress as that of all cases; return what its stream returns.

        Parameters
        ----------
        number : int
            Cases before this one.
        case : Case
            Whose events they are.
        events : generator of Event
            As they come.
        """
        while True:
            try:
                event = next(events)
            except StopIteration as stop:
                result: T = stop.value
                return result
            yield self._progress(number, case.name, event) if isinstance(event, Progress) else event

    def _progress(self, number: int, name: str, event: Progress) -> Progress:
        if self.cases == 1:
            return event
        share = event.done / max(event.total, 1) if event.stage == COMPUTING else 0.0
        elapsed, done = time.monotonic() - self.started, number + share
        left = elapsed / done * (self.cases - done) if done else None
        percent = f" {share:.0%}" if event.stage == COMPUTING else ""
        return Progress(f"{name}: {event.stage.lower()}{percent}", number, self.cases, left)


@dataclass
class Ledger:
    """Takes in finished cases, and keeps the manifest up to date."""

    records: Records
    finished: dict[str, CaseRecord]
    _due: float = 0.0

    def enter(self, record: CaseRecord) -> Iterator[Event]:
        """Take in what became of a case, and say so if it failed."""
        self.finished[record.case] = record
        if record.status == "failed":
            yield Note(f"{record.case}: {record.error}", "warning")
        now = time.monotonic()
        if now >= self._due:
            self.records.write_manifest()
            # Gathering many thousand records takes a while: no more than a fiftieth of the time goes there.
            self._due = time.monotonic() + max(MANIFEST_SECONDS, 50 * (time.monotonic() - now))
