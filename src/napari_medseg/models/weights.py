"""Weights as files: tensors by name, read without executing anything."""

import re
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
    return plain_state(_unwrapped(read_content(file, name)), name)


def read_content(file: IO[bytes], name: str, numpy_values: bool = False) -> Any:  # noqa: ANN401 - whatever it holds
    """Return what a PyTorch file holds, with tensors on the CPU.

    Parameters
    ----------
    file : binary file
        As written by ``torch.save``.
    name : str
        For messages.
    numpy_values : bool
        Whether numbers and arrays of numpy may be in it, beside tensors and plain values.

    Raises
    ------
    BundleError
        If the file is damaged, or holds anything that is executed when it is read.
    """
    import torch

    allowed = _numpy_values() if numpy_values else []
    try:
        with torch.serialization.safe_globals(allowed):
            return torch.load(file, map_location="cpu", weights_only=True)
    # The unpickler's errors for a damaged or hostile file have no common base.
    except Exception as error:
        raise BundleError(
            f"The weights of {name} cannot be read without executing code from the file, or the file is damaged "
            f"({type(error).__name__}).",
            "Get the model again from a source you trust, as a plain state dictionary.",
        ) from error


def plain_state(state: Any, name: str) -> "dict[str, torch.Tensor]":  # noqa: ANN401 - whatever a file holds
    """Return a state dictionary without `PREFIXES`.

    Raises
    ------
    BundleError
        If the content is anything else.
    """
    import torch

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


def _numpy_values() -> list[Any]:
    """Return what numpy's numbers and arrays are made of in a pickle; none of it runs code from the file."""
    import numpy as np
    from numpy._core.multiarray import _reconstruct, scalar

    numbers = re.compile("(Int|UInt|Float|Bool)[0-9]*DType")
    dtypes = [getattr(np.dtypes, name) for name in dir(np.dtypes) if numbers.fullmatch(name)]
    # Files of numpy 1 have the same functions under another name.
    older = [(function, f"numpy.core.multiarray.{function.__name__}") for function in (scalar, _reconstruct)]
    return [scalar, _reconstruct, *older, np.ndarray, np.dtype, *dtypes]


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
