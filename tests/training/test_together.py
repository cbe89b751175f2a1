"""Two processes train one network, by gloo on the CPU."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from napari_medseg.models import Bundle
from napari_medseg.training import RunFolder, train

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="torchrun has no gloo for sockets there")
PROGRAM = """
import sys
from pathlib import Path
import torch
from napari_medseg import processes
from napari_medseg.progress import Step
from napari_medseg.training import train
run, weights, pids = (Path(argument) for argument in sys.argv[1:4])
import os
with processes.joined():
    (pids / str(processes.rank())).write_text(str(os.getpid()))
    for event in train(run, resume=True):
        if isinstance(event, Step):
            (pids / "step").write_text(str(event.step))
        if type(event).__name__ == "Finished":
            from napari_medseg.models import Bundle
            torch.save(Bundle.load(event.result.bundle).state_dict(), weights / f"{processes.rank()}.pt")
            assert processes.rank() == 0 or not event.result.bundle.is_relative_to(run)
"""
SETTINGS = {"optimizer": "sgd", "momentum": 0.9, "learning_rate": 0.02, "steps": 12, "validate_every": 4}


def together(run: RunFolder, weights: Path) -> subprocess.Popen[str]:
    weights.mkdir(exist_ok=True)
    program = weights / "program.py"
    program.write_text(PROGRAM)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [*command, str(program), str(run.path), str(weights), str(weights)], env=environment, stderr=subprocess.PIPE,
        text=True,
    )  # fmt: skip


def state_of(run: RunFolder) -> dict[str, torch.Tensor]:
    return Bundle.load(run.bundle).state_dict()


def finish(process: subprocess.Popen[str]) -> None:
    try:
        _, err = process.communicate(timeout=300)
    except subprocess.TimeoutExpired:
        process.terminate()
        raise
    assert process.returncode == 0, err[-6000:]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_two_processes_learn_what_one_does_with_twice_the_batch(
    make_run: Callable[..., RunFolder], tmp_path: Path
) -> None:
    alone, both = make_run("alone", batch_size=2, **SETTINGS), make_run("both", batch_size=1, **SETTINGS)
    process = together(both, tmp_path / "weights")
    list(train(alone))
    finish(process)
    first, second = (torch.load(tmp_path / "weights" / f"{rank}.pt") for rank in (0, 1))
    assert all(torch.equal(first[key], second[key]) for key in first)
    for key, tensor in state_of(alone).items():
        torch.testing.assert_close(first[key], tensor, atol=1e-5, rtol=0)
    # each step is written once: the second process wrote elsewhere
    steps = [line for line in both.events.read_text().splitlines() if '"Step"' in line]
    assert len(steps) == 12

    killed = make_run("killed", batch_size=1, checkpoint_seconds=0, **SETTINGS)
    process = together(killed, tmp_path / "killed-weights")
    deadline = time.monotonic() + 240
    reached = tmp_path / "killed-weights" / "step"
    while not (reached.exists() and reached.read_text() > "5") and time.monotonic() < deadline:
        time.sleep(0.05)
    for rank in (0, 1):
        os.kill(int((tmp_path / "killed-weights" / str(rank)).read_text()), signal.SIGKILL)
    process.communicate(timeout=60)
    assert not killed.bundle.exists()
    finish(together(killed, tmp_path / "again"))
    for key, tensor in state_of(killed).items():
        assert torch.equal(tensor, first[key])
