"""TorchScript and ExportedProgram files become bundles."""

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
        x) or (batch, channel, y, x) float32 tile and whose output is the logits.
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
    _check_shapes(bundle)
    return bundle


def _check_shapes(bundle: Bundle) -> None:
    import torch

    spec = bundle.spec
    tile = torch.zeros(1, spec.channels, *spec.patch_size)
    wanted = (1, spec.outputs, *spec.patch_size)
    try:
        with torch.inference_mode():
            found = tuple(bundle.network()(tile).shape)
    except (RuntimeError, TypeError, ValueError, AssertionError, AttributeError) as error:
        *_, reason = str(error).strip().splitlines() or [type(error).__name__]
        raise BundleError(
            f"The program of {spec.name} does not take a tile of {tuple(tile.shape)} ({reason}).",
            "Give the number of channels and the patch_size that it was made for.",
        ) from error
    if found != wanted:
        raise BundleError(
            f"The program of {spec.name} gives {found} for a tile, not {wanted}.",
            f"Give as many classes as it has outputs ({found[1] if len(found) > 1 else 0}), background included.",
        )
