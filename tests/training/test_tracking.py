import socket
import sys
import types
from collections.abc import Callable
from typing import Any

import pytest

from napari_medseg.progress import EpochEnd, Note, Step
from napari_medseg.training import RunFolder, train
from napari_medseg.training.tracking import numbers_of

MakeRun = Callable[..., RunFolder]


def curves(run: RunFolder) -> dict[str, list[tuple[int, float]]]:
    """Return the numbers that TensorBoard reads in a run's folder, by name."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = EventAccumulator(str(run.tensorboard), size_guidance={"scalars": 0})
    found.Reload()
    return {tag: [(entry.step, entry.value) for entry in found.Scalars(tag)] for tag in found.Tags()["scalars"]}


def test_tensorboard_reads_every_loss_rate_and_dice(make_run: MakeRun) -> None:
    run = make_run(steps=6)
    events = list(train(run))
    found = curves(run)
    steps = [event for event in events if isinstance(event, Step)]
    assert found["loss/step"] == [(event.step, pytest.approx(event.loss)) for event in steps]
    assert found["learning_rate"] == [(event.step, pytest.approx(event.learning_rate)) for event in steps]
    scores = [event for event in events if isinstance(event, EpochEnd)]
    for name in ("shell", "core"):
        assert found[f"dice/{name}"] == [
            (event.step, pytest.approx(event.dice[name])) for event in scores if event.dice
        ]
    for file in run.tensorboard.iterdir():
        assert socket.gethostname() not in file.name
        assert str(run.path).encode() not in file.read_bytes()


def test_a_resumed_run_goes_on_with_its_curves(make_run: MakeRun) -> None:
    run = make_run(steps=6, checkpoint_seconds=0)
    for event in train(run):
        if isinstance(event, Step) and event.step == 5:
            break
    list(train(run, resume=True))
    assert [step for step, _ in curves(run)["loss/step"]] == [1, 2, 3, 4, 5, 6]


def test_a_run_that_begins_anew_has_only_new_curves(make_run: MakeRun) -> None:
    run = make_run(steps=3)
    list(train(run))
    list(train(run))
    assert [step for step, _ in curves(run)["loss/step"]] == [1, 2, 3]


class Wandb(types.ModuleType):
    """Stands for Weights & Biases, and keeps what it is told."""

    def __init__(self, fails: bool = False) -> None:
        super().__init__("wandb")
        self.__spec__ = types.SimpleNamespace()  # type: ignore[assignment]
        self.errors = types.ModuleType("wandb.errors")
        self.errors.Error = type("Error", (Exception,), {})  # type: ignore[attr-defined]
        self.told: dict[str, Any] = {}
        self.logged: list[tuple[int, dict[str, float]]] = []
        self.finished = False
        self._fails = fails

    def Settings(self, **values: object) -> dict[str, object]:
        return values

    def init(self, **values: object) -> "Wandb":
        if self._fails:
            raise self.errors.Error("no key")
        self.told = values
        return self

    def log(self, values: dict[str, float], step: int) -> None:
        self.logged.append((step, values))

    def finish(self) -> None:
        self.finished = True


def install(monkeypatch: pytest.MonkeyPatch, fails: bool = False) -> Wandb:
    stub = Wandb(fails)
    monkeypatch.setitem(sys.modules, "wandb", stub)
    monkeypatch.setitem(sys.modules, "wandb.errors", stub.errors)
    return stub


def test_weights_and_biases_is_told_the_same_and_nothing_leaves(
    make_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    stub = install(monkeypatch)
    run = make_run(steps=3)
    events = list(train(run))
    assert stub.told["mode"] == "offline"
    assert stub.told["dir"] == str(run.path)
    assert stub.told["settings"]["disable_git"] is True
    assert stub.told["config"]["steps"] == 3
    assert stub.logged == [(event.step, numbers_of(event)) for event in events if numbers_of(event)]  # type: ignore[attr-defined]
    assert stub.finished


def test_weights_and_biases_can_be_online_or_off(make_run: MakeRun, monkeypatch: pytest.MonkeyPatch) -> None:
    stub = install(monkeypatch)
    list(train(make_run("off", steps=1, wandb="off")))
    assert not stub.told
    list(train(make_run("online", steps=1, wandb="online")))
    assert stub.told["mode"] == "online"


def test_without_a_key_the_training_goes_on(make_run: MakeRun, monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, fails=True)
    events = list(train(make_run(steps=1, wandb="online")))
    assert any("not used: no key" in event.text for event in events if isinstance(event, Note))
