"""Networks that are kept as programs: TorchScript and ExportedProgram files."""

import io
import warnings
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

from napari_medseg.errors import BundleError

if TYPE_CHECKING:
    from torch import nn

PROGRAMS = {"torchscript": Path("models/model.ts"), "exported": Path("models/model.pt2")}
"""Values of `ModelSpec.architecture` that stand for a program, and where it lies in a model's folder."""
WHY = {
    "torchscript": "is a TorchScript program: it can read and write files when it runs",
    "exported": "is an exported program: reading it evaluates expressions from the file",
}
"""What a user has to trust in, as the end of a sentence."""


def program_kind(path: Path) -> str | None:
    """Return which kind of program a file is, a key of `PROGRAMS`; None if it is none. Executes nothing."""
    if not path.is_file() or not zipfile.is_zipfile(path):
        return None
    with zipfile.ZipFile(path) as archive:
        names = [name.partition("/")[2] for name in archive.namelist()]
    if "archive_format" in names or "serialized_exported_program.json" in names:
        return "exported"
    if "constants.pkl" in names and any(name.startswith("code/") for name in names):
        return "torchscript"
    return None


def load_program(content: bytes | Path, architecture: str, name: str) -> "nn.Module":
    """Return the network of a program that the user trusts, on the CPU.

    Parameters
    ----------
    content : bytes or Path
        The file.
    architecture : str
        A key of `PROGRAMS`.
    name : str
        Of the model, for messages.

    Raises
    ------
    BundleError
        If the file is damaged.
    """
    import torch

    source = io.BytesIO(content) if isinstance(content, bytes) else str(content)
    try:
        if architecture == "torchscript":
            with warnings.catch_warnings():
                # That PyTorch advises against TorchScript for new models is not news for who uses an old one.
                warnings.simplefilter("ignore", FutureWarning)
                script: nn.Module = torch.jit.load(source, map_location="cpu")  # type: ignore[no-untyped-call]
            return script.eval()
        from napari_medseg.models.exported import Exported

        return Exported(torch.export.load(source))
    # Neither reader documents what it raises for a damaged file.
    except Exception as error:
        raise BundleError(
            f"The program of {name} cannot be read ({type(error).__name__}).",
            "Get the file again, or export it with this version of PyTorch.",
        ) from error
