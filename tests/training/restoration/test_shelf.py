"""A set is learned from without being held in memory, and by several processes as by one."""

import os
import subprocess
import sys
import tracemalloc

import numpy as np
import pytest
import torch

from napari_medseg.io import write
from napari_medseg.models import Bundle
from napari_medseg.progress import Control, Finished
from napari_medseg.training import train
from napari_medseg.training.restoration.config import EnhancementConfig, SuperResolutionConfig
from napari_medseg.training.restoration.material import fine_pairs, load_images
from napari_medseg.training.restoration.noisy import noisy_pairs
from napari_medseg.training.restoration.request import create_restoration
from napari_medseg.training.restoration.run import RestorationRun
from napari_medseg.training.restoration.shelf import Shelf
from napari_medseg.volume import Geometry, Volume

TINY = {"minutes": None, "features": 4, "blocks": 1, "hold_out": 0, "precision": "float32", "device": "cpu"}
PROGRAM = """
import sys
from napari_medseg.training import train
for event in train(sys.argv[1]):
    pass
"""


def result_of(events):
    return next(event.result for event in events if isinstance(event, Finished))


def scans(folder, count, shape):
    random = np.random.default_rng(0)
    for number in range(count):
        values = random.normal(100, 20, shape).astype(np.float32)
        write(Volume(values, Geometry(shape, np.eye(4))), folder / f"case{number}.nrrd")
    return folder


@pytest.mark.parametrize("config", [SuperResolutionConfig(**TINY), EnhancementConfig(**TINY)])
def test_memory_does_not_grow_with_the_set(config, tmp_path):
    shape = (16, 128, 128)
    run = result_of(create_restoration(tmp_path / "run", [scans(tmp_path / "set", 12, shape)], config))
    content, shelf = run.read(RestorationRun), Shelf(tmp_path / "shelf")
    one = 4 * int(np.prod(shape))
    tracemalloc.start()
    images = list(load_images(content, list(range(12)), Control(), shelf))
    found = [image for image in images if hasattr(image, "values")]
    if isinstance(config, SuperResolutionConfig):
        pairs = fine_pairs(content.spec, config, found, shelf)
    else:
        pairs = noisy_pairs(content.spec, config, found)
    pairs.batch(0)
    held, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(found) == 12
    assert all(isinstance(image.values, np.memmap) for image in found)
    assert held < 2 * one, "less than two of the twelve images"
    assert peak < 8 * one
    shelf.clear()
    assert not shelf.folder.exists()


def test_the_files_are_gone_after_training(tmp_path):
    config = SuperResolutionConfig(**TINY, steps=2)
    run = result_of(create_restoration(tmp_path / "run", [scans(tmp_path / "set", 2, (16, 20, 20))], config))
    list(train(run))
    assert not list(run.path.rglob("*.npy"))


@pytest.mark.skipif(sys.platform == "win32", reason="torchrun has no gloo for sockets there")
@pytest.mark.timeout(300)
def test_two_processes_learn_what_one_does_with_twice_the_batch(tmp_path):
    folder = scans(tmp_path / "set", 3, (16, 20, 22))
    runs = []
    for name, size in (("alone", 2), ("both", 1)):
        config = SuperResolutionConfig(**TINY | {"hold_out": 0.3}, steps=5, batch_size=size)
        runs.append(result_of(create_restoration(tmp_path / name, [folder], config)))
    alone, both = runs
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", str(program)]
    done = subprocess.run(
        [*command, str(both.path)], env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    list(train(alone))
    one, two = (Bundle.load(run.bundle).state_dict() for run in runs)
    assert all(torch.allclose(one[name], two[name], atol=1e-5) for name in one)
    assert both.events.read_text().count('"Step"') == 5, "each step is written once"
