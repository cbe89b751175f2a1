"""The one way in: from whatever a user points at to a model in the collection."""

import json
from collections.abc import Generator, Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from napari_medseg.errors import ConfigError, LicenceError, TrustError
from napari_medseg.models.bundle import Bundle
from napari_medseg.models.download import Offer, download_zoo_model, zoo_offer
from napari_medseg.models.files import unpack
from napari_medseg.models.importing import import_brainchop, import_checkpoint, import_nnunet, import_program
from napari_medseg.models.importing.sources import Source, recognise
from napari_medseg.models.importing.totalsegmentator import fetch_totalsegmentator
from napari_medseg.models.library import install
from napari_medseg.models.pipeline import MonaiConfig
from napari_medseg.models.registry import architectures
from napari_medseg.models.spec import ModelSpec
from napari_medseg.models.trust import trust
from napari_medseg.progress import Control, Event, Finished, Note
from napari_medseg.volume import LabelClass


class AddOptions(BaseModel):
    """What a source does not say by itself."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    name: str | None = None
    """As shown to the user; by default the model's own."""
    spec: dict[str, Any] = Field(default_factory=dict)
    """For weights and programs: fields of `ModelSpec`, such as ``architecture``, ``classes`` (names are enough),
    ``spacing``, ``intensity`` and ``patch_size``. A JSON file beside the weights, of the same name, may hold them."""
    folds: tuple[str, ...] = ()
    """For nnU-Net: which folds; all that were trained by default."""
    trust: bool = False
    """Whether a model that is a program, or whose configuration executes code, may run from now on."""
    agreed: str = ""
    """For what is fetched: the `LicenceError.token` of what the user agreed to."""


def add(source: Path | str, options: AddOptions | None = None) -> Bundle:
    """Add a model to the user's collection, whatever kind it is.

    Parameters
    ----------
    source : path or str
        A model's folder or zip file (ours, MONAI's or nnU-Net's), weights, a TorchScript or exported program,
        brainchop's JSON, ``totalsegmentator:TASK``, or the name of a model in MONAI's zoo.
    options : AddOptions, optional
        What the source does not say by itself.

    Returns
    -------
    Bundle
        The copy in the collection.

    Raises
    ------
    BundleError, ConfigError
        If it is no model, or something that it needs was not said.
    TrustError
        If it is a program, and `options` do not say that it may run.
    LicenceError
        If it has to be fetched, and `options` do not say that the user agrees to its licence.

    Examples
    --------
    >>> add("Dataset004/nnUNetTrainer__nnUNetPlans__3d_fullres")  # doctest: +SKIP
    >>> add("liver.pt2", AddOptions(spec={"patch_size": [96] * 3}, trust=True))  # doctest: +SKIP
    """
    *_, finished = add_model(Control(), str(source), (options or AddOptions()).model_dump())
    assert isinstance(finished, Finished)
    return Bundle.load(Path(str(finished.result)))


def add_model(control: Control, source: str, options: dict[str, Any]) -> Iterator[Event]:
    """Add a model, as a job for `napari_medseg.jobs`: reading some kinds takes torch.

    Parameters
    ----------
    control : Control
        Cancels and pauses.
    source, options : str, dict
        As for `add`, with the fields of `AddOptions`.

    Yields
    ------
    Event
        `Progress` while something is fetched; last `Finished` with the path of the folder in the collection.
    """
    choice = AddOptions.model_validate(options)
    found = recognise(source)
    with TemporaryDirectory(prefix="medseg-add-") as folder:
        if found.kind == "zoo":
            offer = zoo_offer(found.name)
            _ask(offer, choice)
            archive = yield from download_zoo_model(offer, control)
            found = Source("zip", archive)
        if found.kind == "zip":
            unpack(found.path, Path(folder))
            found = recognise(folder)
        _refuse_unread(Path(source).name, found, choice)
        if found.kind == "totalsegmentator":
            bundle = yield from _totalsegmentator(found, choice, control)
        else:
            bundle = yield from _bundle(found, choice)
        control.checkpoint()
        kept = install(_renamed(bundle, choice.name))
    yield Finished(kept.path)


def _bundle(found: Source, choice: AddOptions) -> Generator[Event, None, Bundle]:
    try:
        return _read(found, choice)
    except TrustError as refusal:
        if not choice.trust:
            raise
        # The name under which the user will look for it, to take trust back.
        name = choice.name or refusal.name
        trust(refusal.digest, name)
        yield Note(f"{name} may run from now on.")
    return _read(found, choice)


def _refuse_unread(name: str, found: Source, choice: AddOptions) -> None:
    """Raise `ConfigError` if something was said that this kind of model leaves no choice in."""
    if choice.spec and found.kind not in ("program", "checkpoint"):
        raise ConfigError(
            f"{name} says itself what it needs, so {', '.join(choice.spec)} cannot be set.",
            "Leave that out; it is for weights and programs.",
        )
    if choice.folds and found.kind != "nnunet":
        raise ConfigError(f"{name} has no folds.", "Leave them out; they are for nnU-Net.")


def _read(found: Source, choice: AddOptions) -> Bundle:
    if found.kind == "bundle":
        bundle = Bundle.load(found.path)
        if bundle.spec.architecture in ("torchscript", "exported"):
            bundle.network()
        return bundle
    if found.kind == "nnunet":
        return import_nnunet(found.path, choice.folds or None)
    if found.kind == "brainchop":
        return import_brainchop(found.path)
    spec = read_spec(found, choice.spec)
    return import_program(found.path, spec) if found.kind == "program" else import_checkpoint(found.path, spec)


def read_spec(found: Source, fields: dict[str, Any]) -> ModelSpec:
    """Return the specification of weights or a program, from a JSON file beside it and what the user says.

    Raises
    ------
    ConfigError
        If a field is missing or impossible.
    """
    values: dict[str, Any] = {"name": found.path.stem}
    sidecar = found.path.with_suffix(".json")
    if sidecar.is_file():
        try:
            values |= dict(json.loads(sidecar.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError, RecursionError) as error:
            raise ConfigError(f"{sidecar.name} cannot be read ({error}).", "It has to be a JSON object.") from error
    values |= fields
    if found.kind == "program":
        values["architecture"] = "torchscript"
    elif "architecture" not in values:
        known = ", ".join(architecture.name for architecture in architectures())
        raise ConfigError(f"{found.path.name} does not say which network it is for.", f"Set architecture: {known}.")
    classes = values.get("classes")
    if isinstance(classes, list | tuple) and all(isinstance(name, str) for name in classes):
        values["classes"] = [LabelClass(value=value, name=name) for value, name in enumerate(classes)]
    try:
        return ModelSpec.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "specification"
        raise ConfigError(
            f"{found.path.name}: the {place} cannot be {first['input']!r}: {first['msg']}.",
            f"There are {', '.join(ModelSpec.model_fields)}.",
        ) from error


def _totalsegmentator(found: Source, choice: AddOptions, control: Control) -> Generator[Event, None, Bundle]:
    return (yield from fetch_totalsegmentator(found.name, choice.agreed, control))


def _ask(offer: Offer, choice: AddOptions) -> None:
    if choice.agreed != offer.checksum:
        raise LicenceError(
            f"{offer.name} {offer.version} comes under terms: {offer.licence or 'none are stated'}.",
            "Read them, and add it again with --yes.",
            offer.text(),
            offer.checksum,
        )


def _renamed(bundle: Bundle, name: str | None) -> Bundle:
    if name is None:
        return bundle
    if isinstance(bundle.spec.pipeline, MonaiConfig):
        raise ConfigError(f"{bundle.spec.name} keeps its name: a change would end your trust in it.", "Leave it out.")
    return replace(bundle, spec=bundle.spec.model_copy(update={"name": name}))
