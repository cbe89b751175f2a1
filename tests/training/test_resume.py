import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from napari_medseg.errors import ConfigError
from napari_medseg.models import Bundle
from napari_medseg.progress import Control, Finished, Step
from napari_medseg.training import RunFolder, Stop, TrainResult, train

MakeRun = Callable[..., RunFolder]
PROGRAM = """
import sys
from pathlib import Path
from napari_medseg.progress import Step
from napari_medseg.training import train
for event in train(Path(sys.argv[1]), resume=sys.argv[2] == "resume"):
    if isinstance(event, Step):
        print(event.step, flush=True)
"""


def weights_of(run: RunFolder) -> dict[str, torch.Tensor]:
    return Bundle.load(run.bundle).state_dict()


def assert_equal(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> None:
    assert first.keys() == second.keys()
    assert all(torch.equal(first[key], second[key]) for key in first)


@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")
def test_a_killed_run_resumes_to_the_weights_of_an_undisturbed_one(make_run: MakeRun) -> None:
    settings = {"steps": 30, "checkpoint_seconds": 0.2, "validate_every": 5}
    undisturbed, killed = make_run("undisturbed", **settings), make_run("killed", **settings)
    list(train(undisturbed))

    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(killed.path), "new"], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if int(line) == 17:
                os.kill(process.pid, signal.SIGKILL)
                break
    assert killed.last.exists()
    assert not killed.bundle.exists()

    steps = [event.step for event in train(killed, resume=True) if isinstance(event, Step)]
    assert 1 < steps[0] <= 18
    assert steps[-1] == 30
    assert_equal(weights_of(undisturbed), weights_of(killed))
    last = [torch.load(run.last, weights_only=True) for run in (undisturbed, killed)]
    assert_equal(last[0]["network"], last[1]["network"])


def test_every_step_can_be_resumed_from(make_run: MakeRun) -> None:
    settings = {"steps": 5, "checkpoint_seconds": 0}
    undisturbed, interrupted = make_run("undisturbed", **settings), make_run("interrupted", **settings)
    list(train(undisturbed))
    for stop_at in range(1, 5):
        for event in train(interrupted, resume=True):
            if isinstance(event, Step) and event.step == stop_at + 1:
                break  # the checkpoint of this step is not written yet
    list(train(interrupted, resume=True))
    assert_equal(weights_of(undisturbed), weights_of(interrupted))


def test_a_stopped_run_goes_on_where_it_was(make_run: MakeRun) -> None:
    run, control = make_run(steps=6), Control()
    for event in train(run, control):
        if isinstance(event, Step) and event.step == 3:
            control.send(Stop())
    events = list(train(run, resume=True))
    assert [event.step for event in events if isinstance(event, Step)] == [4, 5, 6]
    assert isinstance(events[-1], Finished)
    assert isinstance(events[-1].result, TrainResult)
    assert not events[-1].result.stopped


def test_a_finished_run_only_hands_its_model_over_again(make_run: MakeRun) -> None:
    run = make_run()
    list(train(run))
    before = weights_of(run)
    events = list(train(run, resume=True))
    assert not [event for event in events if isinstance(event, Step)]
    assert isinstance(events[-1], Finished)
    assert_equal(before, weights_of(run))


def test_resuming_what_never_began_begins(make_run: MakeRun) -> None:
    events = list(train(make_run(), resume=True))
    assert [event.step for event in events if isinstance(event, Step)] == [1, 2, 3, 4, 5, 6]


def test_starting_anew_forgets_the_earlier_attempt(make_run: MakeRun) -> None:
    run = make_run()
    list(train(run))
    first, log = weights_of(run), run.events.read_text().count("\n")
    list(train(run))
    assert_equal(first, weights_of(run))
    assert abs(run.events.read_text().count("\n") - log) <= 1


def test_a_damaged_checkpoint_is_an_error_that_names_it(make_run: MakeRun) -> None:
    run = make_run()
    list(train(run))
    run.last.write_bytes(run.last.read_bytes()[:100])
    with pytest.raises(ConfigError, match=r"last\.pt"):
        list(train(run, resume=True))


def test_a_checkpoint_that_runs_code_is_refused(make_run: MakeRun, tmp_path: Path) -> None:
    class Harm:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.mkdir, (str(tmp_path / "harm"),)

    run = make_run()
    torch.save({"state": Harm()}, run.last)
    with pytest.raises(ConfigError, match="cannot be read"):
        list(train(run, resume=True))
    assert not (tmp_path / "harm").exists()
