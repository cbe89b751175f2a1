"""Weights of registered architectures become bundles, from every plain kind of file and from nothing else."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from napari_medseg.errors import BundleError
from napari_medseg.models import ModelSpec, build, import_checkpoint

SPEC = ModelSpec(name="net", architecture="unet", options={"features": 2, "stages": 2}, patch_size=(8, 8, 8))


@pytest.fixture
def state():
    torch.manual_seed(3)
    return build(SPEC).state_dict()


def save(content, path: Path) -> Path:
    torch.save(content, path)
    return path


@pytest.mark.parametrize("form", ["plain", "safetensors", "wrapped", "parallel", "half"])
def test_every_plain_form_gives_the_same_network(form, state, tmp_path):
    path = tmp_path / ("w.safetensors" if form == "safetensors" else "w.pt")
    if form == "safetensors":
        save_file(state, path)
    elif form == "wrapped":
        save({"epoch": 7, "state_dict": state}, path)
    elif form == "parallel":
        save({f"module.{name}": tensor for name, tensor in state.items()}, path)
    else:
        save({name: tensor.half() if form == "half" else tensor for name, tensor in state.items()}, path)
    made = import_checkpoint(path, SPEC).save(tmp_path / "bundle")
    for name, tensor in made.network().state_dict().items():
        assert tensor.dtype == torch.float32
        assert torch.allclose(
            tensor, state[name], rtol=1e-3 if form == "half" else 0, atol=1e-4 if form == "half" else 0
        )


class Trap:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))


def test_code_in_a_checkpoint_is_never_executed(state, tmp_path):
    path = save({"state_dict": state, "trap": Trap(tmp_path / "executed")}, tmp_path / "w.pt")
    with pytest.raises(BundleError, match="without executing code"):
        import_checkpoint(path, SPEC)
    assert not (tmp_path / "executed").exists()


def test_what_does_not_fit_is_named(state, tmp_path):
    with pytest.raises(BundleError, match="There is no file"):
        import_checkpoint(tmp_path / "none.pt", SPEC)
    (tmp_path / "cut.safetensors").write_bytes(b"\x08\0\0\0")
    with pytest.raises(BundleError, match=r"cut\.safetensors cannot be read"):
        import_checkpoint(tmp_path / "cut.safetensors", SPEC)
    with pytest.raises(BundleError, match="not a plain state dictionary"):
        import_checkpoint(save([1, 2], tmp_path / "list.pt"), SPEC)
    other = SPEC.model_copy(update={"channels": 2})
    with pytest.raises(BundleError, match=r"not those of the unet .* of another shape"):
        import_checkpoint(save(state, tmp_path / "w.pt"), other)
