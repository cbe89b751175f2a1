"""A worker that is killed in the middle of a training costs nothing."""

import os
import shutil
import signal
import sys
import zipfile

import pytest

from napari_medseg.errors import WorkerLostError
from napari_medseg.jobs import Work, local_engine

pytestmark = [
    pytest.mark.viewer,
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="kill -9 is a POSIX signal"),
]


def weights(bundle):
    """Return the tensors of a bundle, and of those that it is made of, as bytes, by name, without torch."""
    found = {}
    for path in bundle.rglob("model.pt"):
        with zipfile.ZipFile(path) as archive:
            names = [name for name in archive.namelist() if "/data/" in name]
            found |= {f"{path.relative_to(bundle)}/{name.split('/', 1)[1]}": archive.read(name) for name in names}
    return found


def test_the_panel_says_so_and_the_run_resumes_to_the_same_weights(
    viewer, train, scribbled, set_up, settle, click, qtbot, tmp_path
):
    set_up(train, steps=30, checkpoint_seconds=0.0)
    click(train.train_button)
    settle(lambda: train.panel.job is not None)
    undisturbed = shutil.copytree(train._live.run.path, tmp_path / "undisturbed", ignore=only_inputs)
    settle(lambda: len(train.plot.steps) > 8)
    killed = local_engine().worker_pid
    os.kill(killed, signal.SIGKILL)
    qtbot.waitUntil(lambda: train.panel.messages.error is not None, timeout=30_000)
    assert isinstance(train.panel.messages.error, WorkerLostError)
    assert "resumes from its last checkpoint" in train.panel.messages.error.remedy
    assert train.resume_button.isVisible()
    assert train.train_button.isEnabled()
    viewer.dims.set_point(0, 3.0)

    click(train.resume_button)
    assert train.panel.messages.error is None
    settle(lambda: train.results.isVisible())
    assert local_engine().worker_pid != killed
    assert not train.resume_button.isVisible()
    assert train.plot.steps[-1] == 30
    assert train.plot.steps == sorted(set(train.plot.steps))

    again = local_engine().submit(Work("napari_medseg.training.jobs:train_run", {"run": undisturbed, "resume": False}))
    settle(lambda: again.ended)
    assert again.state == "finished", again.error
    expected = weights(again.result.bundle)
    assert expected
    assert weights(train.results.bundle.path) == expected


def only_inputs(_folder, names):
    """Leave out what the run itself has written by now."""
    return [name for name in names if name in ("events.jsonl", "held_out.npz", "checkpoints", "bundle")]
