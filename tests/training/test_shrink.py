import pytest
import torch

from napari_medseg.errors import DeviceError
from napari_medseg.models import ModelSpec
from napari_medseg.training.checkpoint import State
from napari_medseg.training.shrink import shrink

CPU = torch.device("cpu")
SPEC = ModelSpec(name="m", architecture="dynunet", options={"features": 4, "max_stages": 4}, patch_size=(32, 64, 64))


def test_the_batch_goes_first_then_the_longest_edge() -> None:
    state = State(3, (32, 64, 64))
    seen = []
    for _ in range(4):
        note = shrink(state, SPEC, CPU)
        assert note.level == "warning"
        seen.append((state.batch_size, state.patch))
    assert seen == [(1, (32, 64, 64)), (1, (32, 32, 64)), (1, (32, 32, 32)), (1, (16, 32, 32))]
    assert "1 patches of 16 x 32 x 32" in note.text


def test_a_patch_stays_a_multiple_of_the_networks_strides() -> None:
    state = State(1, (16, 16, 24))
    spec = SPEC.model_copy(update={"patch_size": (16, 16, 24)})
    with pytest.raises(DeviceError, match="too small"):
        shrink(state, spec, CPU)


def test_planes_have_no_depth_to_give_up() -> None:
    spec = ModelSpec(name="m", architecture="unet", dims=2, patch_size=(64, 32))
    state = State(1, (1, 64, 32))
    shrink(state, spec, CPU)
    assert state.patch == (1, 32, 32)
