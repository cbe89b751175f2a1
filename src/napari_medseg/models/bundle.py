"""A model on disk: a MONAI bundle folder that other MONAI tools run, and that runs nothing when it is loaded here."""

import hashlib
import io
import json
import shutil
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import IO, TYPE_CHECKING, Self

from pydantic import ValidationError

from napari_medseg.errors import BundleError
from napari_medseg.models.configs import BLOCK
from napari_medseg.models.family import is_registered
from napari_medseg.models.files import INFERENCE, LICENCE, MEMBERS, METADATA, WEIGHTS, Files, open_files, read_json
from napari_medseg.models.foreign import convert, trusted_config
from napari_medseg.models.pipeline import Ensemble, MonaiConfig, Parts
from napari_medseg.models.program import PROGRAMS, WHY, load_program
from napari_medseg.models.registry import build, network_def
from napari_medseg.models.spec import ModelSpec
from napari_medseg.models.trust import digest_of, require
from napari_medseg.models.weights import check_fit, read_state_dict
from napari_medseg.models.writing import write_atomically, write_texts, write_weights

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
    members: tuple["Bundle", ...] = ()
    """The models that it is made of, which have the weights then."""

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
        buffer = io.BytesIO()
        torch.save(_copied(state_dict), buffer)
        return cls(spec, buffer.getvalue())

    @classmethod
    def load(cls, path: Path | str) -> Self:
        """Read a model's specification and check that it is complete. Executes nothing from it and loads no torch.

        The configuration of a MONAI bundle of another maker is converted if it is plain data, and kept as it is if the
        user trusts it.

        Parameters
        ----------
        path : path
            The folder, or a zip file of it.

        Raises
        ------
        BundleError
            If it is not a complete model, with a remedy.
        TrustError
            If it cannot be used without executing code from it, and the user has not said that it may run.
        """
        place = Path(path).expanduser().resolve()
        files = open_files(place)
        spec = _read_spec(files)
        if isinstance(spec.pipeline, Ensemble | Parts):
            return cls(spec, b"", place, _members(place, spec))
        if is_registered(spec):
            network_def(spec)
        name = PROGRAMS.get(spec.architecture, WEIGHTS)
        weights = files.weights(name)
        if weights is None:
            raise BundleError(
                f"{place.name} has no weights: {name.as_posix()} is missing.", "Copy the whole folder again."
            )
        return cls(spec, weights, place)

    def named(self, name: str) -> Self:
        """Return the same model under another name, which its members take over."""
        members = tuple(member.named(name) for member in self.members)
        return replace(self, spec=self.spec.model_copy(update={"name": name}), members=members)

    @cached_property
    def hash(self) -> str:
        """SHA-256 of the weights' file and the specification, in hexadecimal."""
        digest = hashlib.sha256("".join(member.hash for member in self.members).encode())
        with self._open_weights() as file:
            while block := file.read(1 << 20):
                digest.update(block)
        digest.update(json.dumps(self.spec.model_dump(mode="json"), sort_keys=True).encode())
        return digest.hexdigest()

    def state_dict(self) -> "dict[str, torch.Tensor]":
        """Return the weights, on the CPU; of several models each one's, with its number before the names.

        Raises
        ------
        BundleError
            If the file is damaged, or holds anything but tensors.
        """
        if self.members:
            weights = (member.state_dict().items() for member in self.members)
            return {f"{number}.{name}": value for number, each in enumerate(weights) for name, value in each}
        with self._open_weights() as file:
            return read_state_dict(file, self.path.name if self.path else self.spec.name)

    def network(self) -> "nn.Module":
        """Return the network with its weights, on the CPU, ready to predict.

        Raises
        ------
        BundleError
            If the weights cannot be read or are those of another network.
        TrustError
            If the network is a program that the user does not trust yet.
        """
        if self.members or isinstance(self.spec.pipeline, MonaiConfig):
            raise BundleError(f"{self.spec.name} is not one network.", "Predict with it, or choose another model.")
        kind = self.spec.architecture
        if kind in PROGRAMS:
            require(digest_of(self.weights), self.spec.name, WHY[kind])
            return load_program(self.weights, kind, self.spec.name)
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
        write_atomically(folder, self._write)
        return type(self).load(folder) if self.members else type(self)(self.spec, folder / self._weights_name, folder)

    def _write(self, folder: Path) -> None:
        if isinstance(self.spec.pipeline, MonaiConfig) and self.path is not None:
            shutil.copytree(self.path, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
            return
        write_texts(folder, self.spec)
        for number, member in enumerate(self.members):
            member._write(folder / MEMBERS / f"{number:02}")
        if not self.members:
            with self._open_weights() as source:
                write_weights(folder / self._weights_name, source)

    @property
    def _weights_name(self) -> Path:
        return PROGRAMS.get(self.spec.architecture, WEIGHTS)

    def _open_weights(self) -> IO[bytes]:
        return io.BytesIO(self.weights) if isinstance(self.weights, bytes) else self.weights.open("rb")


def _read_spec(files: Files) -> ModelSpec:
    name, content = files.path.name, read_json(files, METADATA)
    block = content.get(BLOCK)
    if not isinstance(block, dict) or "spec" not in block:
        licence = (files.read(LICENCE) or b"").decode("utf-8", "replace")
        inference = read_json(files, INFERENCE)
        try:
            return convert(name, content, inference, licence)
        except BundleError as refusal:
            return trusted_config(files.path, content, inference, refusal)
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


def _members(place: Path, spec: ModelSpec) -> tuple[Bundle, ...]:
    """Return the models that one is made of, after a check that all are there."""
    assert isinstance(spec.pipeline, Ensemble | Parts)
    wanted = spec.pipeline.members if isinstance(spec.pipeline, Ensemble) else len(spec.pipeline.tables)
    folders = [place / MEMBERS / f"{number:02}" for number in range(wanted)]
    missing = [folder for folder in folders if not folder.is_dir()]
    if missing:
        raise BundleError(
            f"{place.name} is made of {wanted} models, but {missing[0].relative_to(place).as_posix()} is missing.",
            "Copy the whole folder again; a zip file of it has to be unpacked.",
        )
    return tuple(Bundle.load(folder) for folder in folders)


def _copied(state: "Mapping[str, torch.Tensor]") -> "dict[str, torch.Tensor]":
    """Return the tensors on the CPU; those that are one tensor under several names stay one."""
    copies: dict[tuple[object, ...], torch.Tensor] = {}
    result = {}
    for name, tensor in state.items():
        key = (tensor.data_ptr() or name, tensor.shape, tensor.stride(), tensor.dtype)
        if key not in copies:
            copies[key] = tensor.detach().to("cpu", copy=True).contiguous()
        result[name] = copies[key]
    return result
