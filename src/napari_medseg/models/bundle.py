"""A model on disk: a MONAI bundle folder that other MONAI tools run, and that runs nothing when it is loaded here."""

import hashlib
import io
import json
import os
import shutil
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from tempfile import mkdtemp
from typing import IO, TYPE_CHECKING, Self

from pydantic import ValidationError

from napari_medseg.errors import BundleError, WriteError
from napari_medseg.models.card import model_card
from napari_medseg.models.configs import BLOCK, inference_config, metadata
from napari_medseg.models.files import CARD, INFERENCE, LICENCE, METADATA, WEIGHTS, Files, open_files, read_json
from napari_medseg.models.foreign import convert
from napari_medseg.models.registry import build, network_def
from napari_medseg.models.spec import ModelSpec
from napari_medseg.models.weights import check_fit, read_state_dict

if TYPE_CHECKING:
    from collections.abc import Mapping

    import torch
    from torch import nn

FORMAT = 1


@dataclass(frozen=True, eq=False)
class Bundle:
    """A model's specification and weights.

    Made by `load` from a folder or zip file, or by `create` from weights in memory.
    """

    spec: ModelSpec
    weights: Path | bytes
    """The state dictionary as a file, or as the content of that file."""
    path: Path | None = None
    """The folder or zip file; None when it was not saved yet."""

    @classmethod
    def create(cls, spec: ModelSpec, state_dict: "Mapping[str, torch.Tensor]") -> Self:
        """Return a bundle of weights in memory.

        Parameters
        ----------
        spec : ModelSpec
            What the model needs and gives.
        state_dict : mapping of str to torch.Tensor
            As of ``build(spec).state_dict()``; copied.

        Raises
        ------
        BundleError
            If the specification names no known architecture.
        """
        import torch

        network_def(spec)
        state = {name: tensor.detach().to("cpu", copy=True).contiguous() for name, tensor in state_dict.items()}
        buffer = io.BytesIO()
        torch.save(state, buffer)
        return cls(spec, buffer.getvalue())

    @classmethod
    def load(cls, path: Path | str) -> Self:
        """Read a model's specification and check that it is complete. Executes nothing from it and loads no torch.

        The configuration of a MONAI bundle of another maker is converted if it is plain data.

        Parameters
        ----------
        path : path
            The folder, or a zip file of it.

        Raises
        ------
        BundleError
            If it is not a complete model that can be used without executing code from it, with a remedy.
        """
        place = Path(path).expanduser().resolve()
        files = open_files(place)
        spec = _read_spec(files)
        network_def(spec)
        weights = files.weights()
        if weights is None:
            raise BundleError(
                f"{place.name} has no weights: {WEIGHTS.as_posix()} is missing.", "Copy the whole folder again."
            )
        return cls(spec, weights, place)

    @cached_property
    def hash(self) -> str:
        """SHA-256 of the weights' file and the specification, in hexadecimal."""
        digest = hashlib.sha256()
        with self._open_weights() as file:
            while block := file.read(1 << 20):
                digest.update(block)
        digest.update(json.dumps(self.spec.model_dump(mode="json"), sort_keys=True).encode())
        return digest.hexdigest()

    def state_dict(self) -> "dict[str, torch.Tensor]":
        """Return the weights, on the CPU.

        Raises
        ------
        BundleError
            If the file is damaged, or holds anything but tensors.
        """
        with self._open_weights() as file:
            return read_state_dict(file, self.path.name if self.path else self.spec.name)

    def network(self) -> "nn.Module":
        """Return the network with its weights, on the CPU, ready to predict.

        Raises
        ------
        BundleError
            If the weights cannot be read or are those of another network.
        """
        network = build(self.spec)
        state = self.state_dict()
        check_fit(self.spec.name, self.spec.architecture, network.state_dict(), state)
        network.load_state_dict(state)
        return network.eval()

    def save(self, path: Path | str) -> Self:
        """Write the folder, and return the bundle that is there now.

        The new folder is complete before it takes the place of an old one; if anything fails the old one stays.

        Parameters
        ----------
        path : path
            The folder; an existing bundle there is replaced.

        Raises
        ------
        WriteError
            If the path is taken by something that is not a bundle, or cannot be written.
        """
        folder = Path(path).expanduser().resolve()
        if folder.exists() and not (folder / METADATA).is_file() and (not folder.is_dir() or any(folder.iterdir())):
            raise WriteError(f"{folder} exists and is not a model.", "Choose another name.")
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            temporary = Path(mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
        except OSError as error:
            raise WriteError(
                f"{folder.parent} cannot be written: {error.strerror}.", "Choose another place."
            ) from error
        try:
            temporary.chmod(0o755)
            self._write(temporary)
            _replace(temporary, folder)
        except OSError as error:
            raise WriteError(f"{folder} could not be written: {error.strerror}.", "Free space there.") from error
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        return type(self)(self.spec, folder / WEIGHTS, folder)

    def _write(self, folder: Path) -> None:
        texts = {
            METADATA: json.dumps(metadata(self.spec), indent=2),
            INFERENCE: json.dumps(inference_config(self.spec), indent=2),
            CARD: model_card(self.spec),
        }
        if self.spec.licence:
            texts[LICENCE] = f"SPDX-License-Identifier: {self.spec.licence}\n"
        for name, text in texts.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text, encoding="utf-8")
        (folder / WEIGHTS).parent.mkdir()
        with self._open_weights() as source, (folder / WEIGHTS).open("wb") as target:
            shutil.copyfileobj(source, target)
            target.flush()
            os.fsync(target.fileno())

    def _open_weights(self) -> IO[bytes]:
        return io.BytesIO(self.weights) if isinstance(self.weights, bytes) else self.weights.open("rb")


def _replace(new: Path, folder: Path) -> None:
    """Rename `new` to `folder`; an old folder is kept until then."""
    if not folder.exists():
        new.rename(folder)
        return
    old = Path(mkdtemp(prefix=f".{folder.name}.old.", dir=folder.parent)) / folder.name
    folder.rename(old)
    try:
        new.rename(folder)
    except OSError:
        old.rename(folder)
        raise
    finally:
        shutil.rmtree(old.parent, ignore_errors=True)


def _read_spec(files: Files) -> ModelSpec:
    name, content = files.path.name, read_json(files, METADATA)
    block = content.get(BLOCK)
    if not isinstance(block, dict) or "spec" not in block:
        licence = (files.read(LICENCE) or b"").decode("utf-8", "replace")
        return convert(name, content, read_json(files, INFERENCE), licence)
    if block.get("format") != FORMAT:
        raise BundleError(
            f"{name} has format {block.get('format')!r}; this version reads format {FORMAT}.", "Update napari-medseg."
        )
    try:
        return ModelSpec.model_validate(block["spec"])
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "spec"
        raise BundleError(
            f"{name}: {METADATA.as_posix()} has an impossible {place}: {first['msg']}.", "Get the model again."
        ) from error
