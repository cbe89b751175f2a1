"""A plain checkpoint of a registered architecture becomes a bundle."""

from pathlib import Path

from napari_medseg.models.bundle import Bundle
from napari_medseg.models.registry import build
from napari_medseg.models.spec import ModelSpec
from napari_medseg.models.weights import check_fit, read_checkpoint


def import_checkpoint(path: Path | str, spec: ModelSpec) -> Bundle:
    """Return the bundle of a specification and weights that were trained elsewhere.

    Parameters
    ----------
    path : path
        ``.safetensors``, or a state dictionary saved by PyTorch. Nothing in it is executed.
    spec : ModelSpec
        What the network is, needs and gives.

    Returns
    -------
    Bundle
        In memory; `Bundle.save` or `install` keeps it.

    Raises
    ------
    BundleError
        If the file cannot be read safely, or its tensors are not those of the network.

    Examples
    --------
    >>> spec = ModelSpec(name="liver", architecture="dynunet")
    >>> import_checkpoint("liver.safetensors", spec).save("models/liver")  # doctest: +SKIP
    """
    import torch

    state = read_checkpoint(Path(path).expanduser())
    with torch.device("meta"):
        wanted = build(spec).state_dict()
    check_fit(spec.name, spec.architecture, wanted, state)
    return Bundle.create(spec, {name: tensor.to(wanted[name].dtype) for name, tensor in state.items()})
