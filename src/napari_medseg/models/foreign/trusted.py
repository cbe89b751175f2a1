"""MONAI bundles whose configuration executes code."""

from pathlib import Path

from napari_medseg.errors import BundleError, TrustError
from napari_medseg.models.family import CONFIG
from napari_medseg.models.foreign.conversion import about, output_classes
from napari_medseg.models.foreign.plain import Json
from napari_medseg.models.pipeline import MonaiConfig
from napari_medseg.models.spec import ModelSpec
from napari_medseg.models.trust import REMEDY, digest_of, is_trusted

NEEDED = ("network_def", "preprocessing", "inferer")
"""Entries of a configuration that we run, in MONAI's convention."""


def trusted_config(path: Path, metadata: Json, inference: Json, refusal: BundleError) -> ModelSpec:
    """Return the specification of a bundle that MONAI has to run by its own configuration. Executes nothing.

    Parameters
    ----------
    path : Path
        The folder.
    metadata, inference : dict
        Content of ``configs/metadata.json`` and ``configs/inference.json``.
    refusal : BundleError
        Why the bundle could not be converted.

    Raises
    ------
    BundleError
        `refusal`, if the configuration has no entries that could be run either.
    TrustError
        If the user has not said yet that it may run.
    """
    if any(key not in inference for key in NEEDED):
        raise refusal
    if not path.is_dir():
        raise BundleError(refusal.problem, f"Unpack {path.name}, and choose the folder.") from refusal
    digest, name = digest_of(path), str(metadata.get("name") or path.name)
    if not is_trusted(digest):
        raise TrustError(refusal.problem, REMEDY, digest, name) from refusal
    inputs, outputs = about(metadata, "inputs"), about(metadata, "outputs")
    if _overlapping(inference):
        classes = output_classes(metadata, _count(outputs.get("num_channels"), 1), first=0)
    else:
        classes = output_classes(metadata, max(2, _count(outputs.get("num_channels"), 2)))
    return ModelSpec(
        name=name,
        architecture=CONFIG,
        channels=_count(inputs.get("num_channels"), 1),
        classes=classes,
        axcodes=None,
        pipeline=MonaiConfig(
            image_key=_first(metadata, "inputs", "image"), output_key=_first(metadata, "outputs", "pred"), digest=digest
        ),
        description=str(metadata.get("description", "")),
    )


def _overlapping(inference: Json) -> bool:
    """Return whether each channel is a class of its own, with a threshold; found by looking, not by following."""
    chain = inference.get("postprocessing")
    steps = chain.get("transforms") if isinstance(chain, dict) else None
    own = [step for step in steps if isinstance(step, dict)] if isinstance(steps, list) else []
    return any(step.get("sigmoid") is True or step.get("threshold") not in (None, False) for step in own)


def _count(value: object, default: int) -> int:
    return value if isinstance(value, int) and 1 <= value <= 10_000 else default


def _first(metadata: Json, side: str, default: str) -> str:
    found = metadata.get("network_data_format")
    part = found.get(side) if isinstance(found, dict) else None
    return str(next(iter(part), default)) if isinstance(part, dict) else default
