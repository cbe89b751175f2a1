"""TorchScript and ExportedProgram files become bundles."""

from dataclasses import replace
from pathlib import Path

from napari_medseg.errors import BundleError
from napari_medseg.models.bundle import Bundle
from napari_medseg.models.program import WHY, program_kind
from napari_medseg.models.spec import ModelSpec
from napari_medseg.models.trust import digest_of, require


def import_program(path: Path | str, spec: ModelSpec) -> Bundle:
    """Return the bundle of a network that is kept as a program.

    Parameters
    ----------
    path : path
        TorchScript (``.ts``, ``.pt``) or an exported program (``.pt2``), whose only input is the (batch, channel, z, y,
        x) or (batch, channel, y, x) float32 tile and whose output is the logits. For super-resolution and enhancement
        it is the image, finer or cleaner, in the network's intensities.
    spec : ModelSpec
        What the network needs and gives; its architecture is that of the file, whatever is in it.

    Returns
    -------
    Bundle
        In memory; `Bundle.save` or `install` keeps it.

    Raises
    ------
    BundleError
        If the file is neither, is damaged, or its network has another number of channels than the specification.
    TrustError
        If the user has not said yet that the program may run.

    Examples
    --------
    >>> spec = ModelSpec(name="liver", architecture="torchscript", patch_size=(96, 96, 96))
    >>> import_program("liver.ts", spec).save("models/liver")  # doctest: +SKIP
    """
    place = Path(path).expanduser()
    kind = program_kind(place)
    if kind is None:
        raise BundleError(f"{place.name} is no TorchScript or exported program.", "Choose a .ts or .pt2 file.")
    require(digest_of(place), spec.name, WHY[kind])
    bundle = Bundle(spec.model_copy(update={"architecture": kind}), place.read_bytes())
    found = _answer_shape(bundle)
    if spec.task in ("superresolution", "enhancement"):
        return replace(bundle, spec=_of_images(bundle.spec, found))
    wanted = (1, spec.outputs, *spec.patch_size)
    if found != wanted:
        raise BundleError(
            f"The program of {spec.name} gives {found} for a tile, not {wanted}.",
            f"Give as many classes as it has outputs ({found[1] if len(found) > 1 else 0}), background included.",
        )
    return bundle


def _of_images(spec: ModelSpec, found: tuple[int, ...]) -> ModelSpec:
    """Return the specification of a network that gives images, with how many times finer they are.

    Raises
    ------
    BundleError
        If its answers do not serve for the task.
    """
    fits = len(found) == spec.dims + 2 and found[:2] == (1, 1) and spec.channels == 1
    pairs = list(zip(found[2:], spec.patch_size, strict=True)) if fits else []
    factor = [fine // coarse for fine, coarse in pairs]
    whole = fits and all(fine == times * coarse for times, (fine, coarse) in zip(factor, pairs, strict=True))
    if not whole or min(factor) < 1 or (max(factor) > 1) != (spec.task == "superresolution"):
        raise BundleError(
            f"The program of {spec.name} gives {found} for a tile of {(1, spec.channels, *spec.patch_size)}.",
            "For enhancement it has to give an image of that size with one channel, for superresolution a whole number "
            "of times as large.",
        )
    return spec.model_copy(update={"classes": (), "options": {**spec.options, "factor": factor}})


def _answer_shape(bundle: Bundle) -> tuple[int, ...]:
    """Return the shape of what a program gives for one tile."""
    import torch

    spec = bundle.spec
    tile = torch.zeros(1, spec.channels, *spec.patch_size)
    try:
        with torch.inference_mode():
            return tuple(bundle.network()(tile).shape)
    except (RuntimeError, TypeError, ValueError, AssertionError, AttributeError) as error:
        *_, reason = str(error).strip().splitlines() or [type(error).__name__]
        raise BundleError(
            f"The program of {spec.name} does not take a tile of {tuple(tile.shape)} ({reason}).",
            "Give the number of channels and the patch_size that it was made for.",
        ) from error
