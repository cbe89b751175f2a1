"""Trained-model folders of nnU-Net v2 become bundles."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from napari_medseg.errors import BundleError
from napari_medseg.models.bundle import Bundle
from napari_medseg.models.importing.nnunet_plans import DATASET, PLANS, Json, nnunet_spec, read_object
from napari_medseg.models.registry import build
from napari_medseg.models.weights import check_fit, plain_state, read_content

CHECKPOINTS = ("checkpoint_final.pth", "checkpoint_best.pth")


def import_nnunet(folder: Path | str, folds: Sequence[str] | None = None, checkpoint: str | None = None) -> Bundle:
    """Return the bundle of a model that nnU-Net v2 trained: all its folds, its preparation and its classes.

    Needs the extra ``nnunet``. The labels are those of nnU-Net's own predictor, but for voxels where two classes are
    equally likely within the 16-bit numbers in which it sums up.

    Parameters
    ----------
    folder : path
        ``nnUNetTrainer__nnUNetPlans__3d_fullres`` or the like, with ``plans.json``, ``dataset.json`` and folders
        ``fold_0`` and so on.
    folds : sequence of str, optional
        Which of them, such as ``["0", "1"]`` or ``["all"]``; by default all numbered ones that were trained.
    checkpoint : str, optional
        File in each fold; by default the final one, else the best one.

    Returns
    -------
    Bundle
        In memory; `Bundle.save` or `install` keeps it.

    Raises
    ------
    BundleError
        If something is missing or damaged, or the model does what has no counterpart here: a cascade, an own kind of
        preprocessing, or another network than nnU-Net's U-Nets.
    """
    place = Path(folder).expanduser()
    plans, dataset = read_object(place / PLANS), read_object(place / DATASET)
    files = _checkpoints(place, folds, checkpoint)
    contents = [_read(file) for file in files]
    first = contents[0]
    configuration = _text(first.get("init_args"), "configuration")
    if configuration is None:
        raise BundleError(f"{files[0].name} does not say which configuration was trained.", "Copy the model again.")
    mirror = first.get("inference_allowed_mirroring_axes")
    spec = nnunet_spec(plans, dataset, configuration, len(files), tuple(mirror or ()))
    state = {}
    for number, content in enumerate(contents):
        weights = plain_state(content.get("network_weights"), place.name)
        state.update({f"members.{number}.{name}": tensor for name, tensor in weights.items()})
    wanted = build(spec).state_dict()
    check_fit(spec.name, "network", wanted, state)
    return Bundle.create(spec, state)


def is_nnunet(folder: Path) -> bool:
    """Return whether a folder is a trained model of nnU-Net v2."""
    return (folder / PLANS).is_file() and (folder / DATASET).is_file()


def _checkpoints(place: Path, folds: Sequence[str] | None, checkpoint: str | None) -> list[Path]:
    names = (checkpoint,) if checkpoint else CHECKPOINTS
    present = sorted(
        (path.name.removeprefix("fold_") for path in place.glob("fold_*") if path.is_dir()),
        key=lambda name: (not name.isdigit(), int(name) if name.isdigit() else 0, name),
    )
    for name in names:
        trained = [fold for fold in present if (place / f"fold_{fold}" / name).is_file()]
        numbered = [fold for fold in trained if fold != "all"]
        wanted = list(folds) if folds else numbered or trained
        if wanted and set(wanted) <= set(trained):
            return [place / f"fold_{fold}" / name for fold in wanted]
    raise BundleError(
        f"{place.name} has no {names[0]} in {', '.join(f'fold_{fold}' for fold in folds or present) or 'any fold'}.",
        "Choose the folder that nnU-Net wrote while it trained, with its folds.",
    )


def _read(file: Path) -> Json:
    with file.open("rb") as opened:
        content = read_content(opened, f"{file.parent.name}/{file.name}", numpy_values=True)
    if not isinstance(content, dict) or "network_weights" not in content:
        raise BundleError(f"{file.parent.name}/{file.name} is not a checkpoint of nnU-Net v2.", "Copy it again.")
    return content


def _text(values: Any, key: str) -> str | None:  # noqa: ANN401 - whatever the file holds
    found = values.get(key) if isinstance(values, dict) else None
    return found if isinstance(found, str) else None
