"""Weights as files: tensors by name, read without executing anything."""

from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from napari_medseg.errors import BundleError

if TYPE_CHECKING:
    from collections.abc import Mapping

    import torch

WRAPPERS = ("state_dict", "model_state_dict", "model", "network", "net")
"""Keys under which training programs put the state dictionary among other things."""
PREFIXES = ("module.", "_orig_mod.")
"""What data-parallel and compiled networks put before each name."""


def read_state_dict(file: IO[bytes], name: str) -> "dict[str, torch.Tensor]":
    """Return the tensors of a PyTorch file, on the CPU.

    Parameters
    ----------
    file : binary file
        As written by ``torch.save``: a plain state dictionary, or one of `WRAPPERS` in a dictionary; `PREFIXES` that
        all names have are left out.
    name : str
        For messages.

    Raises
    ------
    BundleError
        If the file is damaged, or holds anything that is executed when it is read.
    """
    import torch

    try:
        content = torch.load(file, map_location="cpu", weights_only=True)
    # The unpickler's errors for a damaged or hostile file have no common base.
    except Exception as error:
        raise BundleError(
            f"The weights of {name} cannot be read without executing code from the file, or the file is damaged "
            f"({type(error).__name__}).",
            "Get the model again from a source you trust, as a plain state dictionary.",
        ) from error
    state = _unwrapped(content)
    if not isinstance(state, dict) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise BundleError(f"The weights of {name} are not a plain state dictionary.", "Export them as one.")
    return _without_prefix({str(key): value for key, value in state.items()})


def read_checkpoint(path: Path) -> "dict[str, torch.Tensor]":
    """Return the tensors of a ``.safetensors`` or PyTorch file, on the CPU.

    Raises
    ------
    BundleError
        If there is no such file, it is damaged, or it holds anything that is executed when it is read.
    """
    if not path.is_file():
        raise BundleError(f"There is no file {path}.", "Choose the file that holds the weights.")
    if path.suffix != ".safetensors":
        with path.open("rb") as file:
            return read_state_dict(file, path.name)
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return _without_prefix(load_file(path))
    except (SafetensorError, OSError) as error:
        raise BundleError(f"The weights {path.name} cannot be read ({error}).", "Copy the file again.") from error


def check_fit(
    name: str, architecture: str, wanted: "Mapping[str, torch.Tensor]", found: "Mapping[str, torch.Tensor]"
) -> None:
    """Raise `BundleError` unless the tensors have the names and shapes of a network's.

    Parameters
    ----------
    name, architecture : str
        Of the model, for the message.
    wanted, found : mapping of str to torch.Tensor
        The network's and the file's.
    """
    missing = sorted(wanted.keys() - found.keys())
    surplus = sorted(found.keys() - wanted.keys())
    shapes = [
        f"{key} is {tuple(found[key].shape)} instead of {tuple(wanted[key].shape)}"
        for key in wanted.keys() & found.keys()
        if found[key].shape != wanted[key].shape
    ]
    if missing or surplus or shapes:
        examples = "; ".join([f"{key} is missing" for key in missing[:1]] + sorted(shapes)[:1])
        examples = examples or f"{surplus[0]} has no place"
        raise BundleError(
            f"The weights of {name} are not those of the {architecture} it describes: {len(missing)} tensors "
            f"missing, {len(surplus)} surplus, {len(shapes)} of another shape ({examples}).",
            "Use the specification and the weights of the same model.",
        )


def _unwrapped(content: Any) -> Any:  # noqa: ANN401 - whatever the file holds
    if isinstance(content, dict):
        for key in WRAPPERS:
            if isinstance(content.get(key), dict):
                return content[key]
    return content


def _without_prefix(state: "dict[str, torch.Tensor]") -> "dict[str, torch.Tensor]":
    for prefix in PREFIXES:
        if state and all(key.startswith(prefix) for key in state):
            state = {key.removeprefix(prefix): value for key, value in state.items()}
    return state
