"""Curves of a training for other programs: TensorBoard's files in the run's folder, and Weights & Biases."""

import json
import time
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

from napari_medseg.progress import EpochEnd, Event, Note, Step
from napari_medseg.training.run import RunFolder

NAME = "events.out.tfevents.{}.run"
"""Of TensorBoard's files; unlike its own names without that of the computer."""
PROJECT = "napari-medseg"


class Tracker(Protocol):
    """Takes numbers by step."""

    def add(self, step: int, values: Mapping[str, float]) -> None:
        """Keep the numbers of a step."""

    def close(self) -> None:
        """Write what is left."""


class TensorBoard:
    """A file for TensorBoard.

    Parameters
    ----------
    folder : Path
        Made if it is not there.
    """

    def __init__(self, folder: Path) -> None:
        from tensorboard.compat.proto.event_pb2 import Event as Entry
        from tensorboard.summary.writer.record_writer import RecordWriter

        folder.mkdir(parents=True, exist_ok=True)
        self._entry = Entry
        self._file = (folder / NAME.format(time.time_ns())).open("wb")
        self._records = RecordWriter(self._file)
        self._records.write(Entry(wall_time=time.time(), file_version="brain.Event:2").SerializeToString())
        self._begun = False

    def add(self, step: int, values: Mapping[str, float]) -> None:
        """Keep the numbers of a step; of a resumed run, TensorBoard forgets what was written for it and later ones."""
        from tensorboard.compat.proto.event_pb2 import SessionLog
        from tensorboard.compat.proto.summary_pb2 import Summary

        now = time.time()
        if not self._begun and step > 1:
            begin = SessionLog(status=SessionLog.START)
            self._records.write(self._entry(wall_time=now, step=step, session_log=begin).SerializeToString())
        self._begun = True
        summary = Summary(value=[Summary.Value(tag=name, simple_value=value) for name, value in values.items()])
        self._records.write(self._entry(wall_time=now, step=step, summary=summary).SerializeToString())
        self._file.flush()

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class WeightsAndBiases:
    """A run of Weights & Biases, which is installed.

    Parameters
    ----------
    folder : Path
        Where it writes.
    mode : str
        ``offline`` sends nothing, ``online`` sends the numbers and the settings to the user's account.
    settings : dict
        Of the training.
    """

    def __init__(self, folder: Path, mode: str, settings: Mapping[str, Any]) -> None:
        import wandb

        quiet = wandb.Settings(
            host="computer", console="off", disable_git=True, disable_code=True, x_disable_stats=True,
            x_disable_meta=True, x_disable_machine_info=True, x_save_requirements=False,
        )  # fmt: skip
        self._run = wandb.init(project=PROJECT, dir=str(folder), mode=mode, config=dict(settings), settings=quiet)

    def add(self, step: int, values: Mapping[str, float]) -> None:
        """Keep the numbers of a step."""
        self._run.log(dict(values), step=step)

    def close(self) -> None:
        """Send or write what is left."""
        self._run.finish()


class Tracked:
    """Passes events on and keeps their numbers; use as a context.

    Parameters
    ----------
    run : RunFolder
        The run.
    """

    def __init__(self, run: RunFolder) -> None:
        self._run = run
        self._trackers: list[Tracker] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for tracker in self._trackers:
            tracker.close()

    def follow(self, events: Iterator[Event]) -> Iterator[Event]:
        """Yield the events, and a note if Weights & Biases cannot be used."""
        for event in events:
            numbers = numbers_of(event)
            if numbers and not self._trackers:
                yield from self._open()
            for tracker in self._trackers:
                if numbers:
                    tracker.add(event.step, numbers)  # type: ignore[attr-defined]
            yield event

    def _open(self) -> Iterator[Event]:
        self._trackers.append(TensorBoard(self._run.tensorboard))
        settings = json.loads(self._run.config.read_text(encoding="utf-8")).get("train", {})
        mode = settings.get("wandb", "offline")
        if mode == "off" or find_spec("wandb") is None:
            return
        # Neither its errors nor those of its import have a common base, and none should end a training.
        try:
            self._trackers.append(WeightsAndBiases(self._run.path, mode, settings))
        except Exception as error:  # noqa: BLE001
            yield Note(f"Weights & Biases is not used: {error}", "warning")


def numbers_of(event: Event) -> dict[str, float]:
    """Return the numbers of an event that make a curve, by name."""
    if isinstance(event, Step):
        return {"loss/step": event.loss, "learning_rate": event.learning_rate}
    if not isinstance(event, EpochEnd):
        return {}
    numbers = {"loss/mean": event.loss}
    for name, value in (event.dice or {}).items():
        numbers[f"dice/{name}"] = value
    if event.dice:
        numbers["dice/mean"] = sum(event.dice.values()) / len(event.dice)
    return numbers | (event.scores or {})
