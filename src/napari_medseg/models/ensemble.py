"""Several models as one."""

from collections.abc import Sequence

from napari_medseg.errors import BundleError
from napari_medseg.models.bundle import Bundle
from napari_medseg.models.family import SEVERAL
from napari_medseg.models.library import library_folder
from napari_medseg.models.pipeline import Ensemble, MonaiConfig, Parts
from napari_medseg.models.retarget import is_trainable
from napari_medseg.models.spec import ModelSpec


def ensemble(
    name: str,
    members: Sequence[Bundle],
    weights: Sequence[float] | None = None,
    temperatures: Sequence[float] | None = None,
) -> Bundle:
    """Return the model that averages the probabilities of several.

    Parameters
    ----------
    name : str
        As shown to the user.
    members : sequence of Bundle
        Two or more models for the same classes; axes, voxel size, tiles and architecture may differ.
    weights : sequence of float, optional
        Of each in the mean; all count the same if None.
    temperatures : sequence of float, optional
        What each one's logits are divided by before they become probabilities; 1 if None.

    Returns
    -------
    Bundle
        In memory; `Bundle.save` or `install` writes it with all its members.

    Raises
    ------
    BundleError
        If there is only one, or they have different classes or inputs, or classes that overlap.

    Examples
    --------
    >>> ensemble("liver, five folds", [Bundle.load(f"fold{k}/bundle") for k in range(5)])  # doctest: +SKIP
    """
    if len(members) < 2:
        raise BundleError("An ensemble needs two models or more.", "Add another model.")
    first = members[0].spec
    for member in members:
        _check(first, member.spec)
    licences = sorted({member.spec.licence for member in members if member.spec.licence})
    citations = dict.fromkeys(member.spec.citation for member in members if member.spec.citation)
    spec = ModelSpec(
        name=name,
        architecture=SEVERAL,
        dims=first.dims,
        channels=first.channels,
        classes=first.classes,
        axcodes=first.axcodes,
        patch_size=first.patch_size,
        pipeline=Ensemble(
            members=len(members),
            weights=None if weights is None else tuple(weights),
            temperatures=None if temperatures is None else tuple(temperatures),
        ),
        modality=first.modality,
        description=f"Mean of the probabilities of {', '.join(member.spec.name for member in members)}.",
        licence=licences[0] if len(licences) == 1 else " AND ".join(licences),
        citation="; ".join(citations),
        training_data=tuple(sorted({digest for member in members for digest in member.spec.training_data})),
    )
    return Bundle(spec, b"", None, tuple(members))


def trainable(bundle: Bundle) -> Bundle:
    """Return what goes on when a model is trained further: of an ensemble the first member that can, else the model.

    Of a network and the pixel classifier that taught it, that is the network.
    """
    if not isinstance(bundle.spec.pipeline, Ensemble):
        return bundle
    return next((member for member in bundle.members if is_trainable(member.spec)), bundle)


def keep(bundle: Bundle) -> Bundle:
    """Return an ensemble that is on disk outside of the collection, where one of the same members is kept once."""
    folder = library_folder().parent / "ensembles" / bundle.hash[:24]
    return Bundle.load(folder) if folder.is_dir() else bundle.save(folder)


def _check(first: ModelSpec, other: ModelSpec) -> None:
    remedy = "Choose models that were trained for the same task."
    if other.output == "regions" or isinstance(other.pipeline, Parts | MonaiConfig):
        raise BundleError(f"{other.name} has no probabilities that sum to one.", remedy)
    values, wanted = ([c.value for c in spec.classes] for spec in (other, first))
    if values != wanted:
        raise BundleError(f"{other.name} has the classes {values}, but {first.name} has {wanted}.", remedy)
    if other.channels != first.channels:
        raise BundleError(
            f"{other.name} takes {other.channels} channels, but {first.name} takes {first.channels}.", remedy
        )
