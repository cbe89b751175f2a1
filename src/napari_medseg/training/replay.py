"""Doing a run again, to the same weights."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
import torch

from napari_medseg import io
from napari_medseg.errors import Cancelled, ConfigError
from napari_medseg.models import Bundle
from napari_medseg.progress import Control, EpochEnd, Event, Finished, Message, Note, Saved, Step
from napari_medseg.training.journal import Record, read_journal
from napari_medseg.training.loop import train
from napari_medseg.training.messages import LabelsChanged, Stop
from napari_medseg.training.run import Case, RunConfig, RunFolder, TrainResult, create_run
from napari_medseg.training.schedule import TIMED_STEPS

if TYPE_CHECKING:
    from collections.abc import Generator

    from numpy.typing import NDArray


class Script(Control):
    """The hand on a run that is done again: it edits the labels and ends the run where that was done before."""

    def __init__(self) -> None:
        super().__init__()
        self.step = 0
        """Steps taken, as far as the run has told."""
        self.over = False
        """Whether it has cancelled the session, as the user had."""
        self._record: Record | None = None
        self._maps: dict[str, NDArray[np.generic]] = {}

    def play(self, record: Record, maps: dict[str, Path]) -> None:
        """Begin a session: bring label maps to where they were, and do from now on what was done.

        Parameters
        ----------
        record : Record
            The session.
        maps : dict of str to Path
            Folders of label maps that may be edited in place, by case.
        """
        self._record, self.step, self.over = replace(record, edits=list(record.edits)), record.step, False
        self._maps = {name: np.load(path / "data.npy", mmap_mode="r+") for name, path in maps.items()}
        for name, labels in record.kept.items():
            self._maps[name][...] = labels

    def receive(self) -> list[Message]:
        """Return the messages that the run got at this step."""
        messages, record = super().receive(), self._record
        if record is None:
            return messages
        while record.edits and record.edits[0].step <= self.step:
            edit = record.edits.pop(0)
            taken = edit.taken
            box = tuple(slice(first, last) for first, last in zip(taken.start, taken.stop, strict=True))
            self._maps[edit.case][box] = taken.values
            messages.append(LabelsChanged(edit.case, taken.start, taken.stop))
        if record.ended is not None and record.ended <= self.step:
            if record.cancelled:
                self.over = True
                raise Cancelled
            messages.append(Stop())
        return messages


def replay(source: RunFolder, folder: Path, script: Script) -> Iterator[Event]:
    """Train again what a run trained, with the same edits of the labels at the same steps.

    Parameters
    ----------
    source : RunFolder
        A run that has begun; only read.
    folder : Path
        Of the new run.
    script : Script
        The control of the new run; cancelling it ends the replay.

    Yields
    ------
    Event
        Those of `napari_medseg.training.train`, with a note in the end on whether the weights are the same.

    Raises
    ------
    ConfigError
        If the run cannot be done again: its journal, an image or a label map is gone or has other content.
    """
    config, records = source.load(), read_journal(source)
    maps = {name: folder / f"labels-{number}.medvol" for number, name in enumerate(_edited(records))}
    run = _lay_out(config, source, folder, maps, records)
    threads = torch.get_num_threads()
    torch.set_num_threads(records[0].threads)
    last: Finished | None = None
    try:
        for number, record in enumerate(records):
            script.play(record, maps)
            following = records[number + 1] if number + 1 < len(records) else None
            for event in _session(run, script, record, following, number > 0):
                if isinstance(event, Finished):
                    last = event
                else:
                    yield event
    finally:
        torch.set_num_threads(threads)
    yield _comparison(source, run, records[0].device)
    yield last or Finished(_kept(run, script.step))


def _session(run: RunFolder, script: Script, record: Record, following: Record | None, resume: bool) -> Iterator[Event]:
    """Do one session again, up to where the next one went on from."""
    crashed = following is not None and record.ended is None
    live = bool(record.edits) or record.ended is not None
    # A generator, which is closed where the run had crashed.
    events = cast("Generator[Event, None, None]", train(run, script, resume, live))
    checked = False
    try:
        for event in events:
            if isinstance(event, (Step, EpochEnd)):
                script.step = event.step
                if not checked:
                    _check(record, read_journal(run)[-1])
                    checked = True
            yield event
            if crashed and following is not None and _is_checkpoint(event, following.step):
                return
    except Cancelled:
        if not script.over:
            raise
    finally:
        events.close()


def _is_checkpoint(event: Event, step: int) -> bool:
    return isinstance(event, Saved) and event.what == "checkpoint" and event.step == step


def _edited(records: list[Record]) -> list[str]:
    """Return the cases whose label maps were edited in place."""
    return list(dict.fromkeys(name for record in records for name in record.kept))


def _lay_out(
    config: RunConfig, source: RunFolder, folder: Path, maps: dict[str, Path], records: list[Record]
) -> RunFolder:
    """Lay out the new run: the same images, and label maps of its own where they were edited."""
    cases = []
    for case in config.cases:
        image, labels = _found(case.image, source, case.id), _found(case.labels, source, case.id)
        if case.id in maps:
            own = replace(io.read(labels)[0], data=records[0].kept[case.id])
            labels = io.write(own, maps[case.id])
        cases.append(Case(id=case.id, image=image, labels=labels, scheme=case.scheme, group=case.group))
    crashed = any(record.ended is None for record in records[:-1])
    changes: dict[str, object] = {"preview_hz": 0.0}
    if config.train.minutes is not None:
        planned = [record.planned for record in records if record.planned is not None]
        changes |= {"minutes": None, "steps": planned[-1] if planned else _enough(records)}
    if crashed:
        changes["checkpoint_seconds"] = 0.0
    if records[0].device == "cpu":
        changes["device"] = "cpu"
    return create_run(folder, config.spec, cases, config.train.model_copy(update=changes), config.init)


def _enough(records: list[Record]) -> int:
    """Return more steps than a run took that ended before its plan was made."""
    return max([TIMED_STEPS, *(record.ended or 0 for record in records)]) + 1


def _found(path: Path, source: RunFolder, case: str) -> Path:
    """Return where a file of a run is now; the run's folder may have been moved."""
    for place in (path, source.path / path.name):
        if place.exists():
            return place.resolve()
    raise ConfigError(
        f"A file of the case {case} is gone: {path.name}.", "Put it back; images of old runs are removed after a week."
    )


def _check(then: Record, now: Record) -> None:
    """Raise `ConfigError` if the run is not trained on the same images and labels."""
    for what, before, after in (("image", then.images, now.images), ("label map", then.labels, now.labels)):
        changed = [case for case, value in before.items() if after.get(case) != value]
        if changed:
            raise ConfigError(
                f"The {what} of the case {changed[0]} is not the one that the run was trained on.",
                "Put back the file as it was; without it the run cannot be done again.",
            )


def _kept(run: RunFolder, step: int) -> TrainResult:
    """Return the result of a run that was cancelled, as the user had done."""
    metrics = Bundle.load(run.bundle).spec.metrics
    dice = {key.removeprefix("dice/"): value for key, value in metrics.items() if key.startswith("dice/")}
    return TrainResult(run.bundle, step, step, True, dice or None, 0.0)


def _comparison(source: RunFolder, run: RunFolder, device: str) -> Note:
    """Return what can be said about the weights of a run and of its replay."""
    if not source.bundle.is_dir():
        return Note("The run itself left no model to compare with.")
    one, other = Bundle.load(source.bundle).state_dict(), Bundle.load(run.bundle).state_dict()
    if one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one):
        return Note("The weights are those of the run, bit by bit.")
    reason = "other hardware or other versions of libraries round differently"
    if device != "cpu":
        reason = f"on {device} the order of sums is not fixed"
    return Note(f"The weights are not exactly those of the run: {reason}.", "warning")
