"""Whether a training gives the GPU its memory back."""

import gc
from collections.abc import Callable

import pytest
import torch

from napari_medseg.device import memory_in_use, release_memory
from napari_medseg.progress import Finished
from napari_medseg.training import RunFolder, train


@pytest.mark.gpu
def test_after_a_training_the_memory_of_the_gpu_is_as_before(make_run: Callable[..., RunFolder]) -> None:
    def run_once(name: str) -> None:
        *_, last = train(make_run(name, device="cuda", steps=10, validate_every=5))
        assert isinstance(last, Finished)

    # The first one loads libraries, which stay.
    run_once("first")
    before = memory_in_use("cuda")
    for name in ("second", "third"):
        run_once(name)
        gc.collect()
        release_memory(torch.device("cuda"))
        assert memory_in_use("cuda") <= before
