"""TotalSegmentator's tasks: nnU-Net models for parts of the body, and how they fit together."""

import os
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from napari_medseg.errors import BundleError, ConfigError, LicenceError
from napari_medseg.models.bundle import Bundle
from napari_medseg.models.download.fetch import fetch_file
from napari_medseg.models.family import SEVERAL
from napari_medseg.models.files import unpack
from napari_medseg.models.importing.nnunet import import_nnunet, is_nnunet
from napari_medseg.models.pipeline import NnUNet, Parts
from napari_medseg.models.spec import BACKGROUND, ModelSpec
from napari_medseg.progress import Control, Event
from napari_medseg.volume import LabelClass

RELEASES = "https://github.com/wasserth/TotalSegmentator/releases/download"
ADDRESS_VARIABLE = "NAPARI_MEDSEG_TOTALSEGMENTATOR"
CITATION = (
    "Wasserthal et al., TotalSegmentator: robust segmentation of 104 anatomic structures in CT images, Radiology: "
    "Artificial Intelligence 5 (2023); Isensee et al., nnU-Net, Nature Methods 18 (2021)"
)
LICENCE = "Apache-2.0"
WIDE_STEPS = ("total", "total_v3", "total_mr")
"""Tasks whose tiles have only a fifth in common."""
NEEDS = {
    "crop": "looks only where another task found something",
    "cascade": "needs the labels of another task as input",
    "remove_outside": "removes what lies outside of another task's labels",
}
OWN_STEPS = ("body", "vertebrae_pp", "vertebrae_pp_refined")
"""Tasks with steps after the network that have no counterpart here."""
PART_MAPS = ("ct", "ct_v3", "mr", "headneck_muscles")
Json = dict[str, Any]


@dataclass(frozen=True)
class Task:
    """What TotalSegmentator says of a task."""

    name: str
    """With its mode, such as ``total`` or ``total:fast``."""
    base: str
    about: Json
    models: tuple[int | str, ...]
    """Numbers of its nnU-Net models."""
    weights: tuple[Json, ...]
    """For each model, where its weights are."""
    classes: dict[int, str]
    commercial: bool
    refusal: str
    """Why it does not run here; empty if it does."""

    @property
    def spacing(self) -> tuple[float, float, float] | None:
        """Voxel size in mm along right, anterior, superior; None for the image's own."""
        found = self.about.get("resample")
        if found is None:
            return None
        x, y, z = found if isinstance(found, list) else (found,) * 3
        return float(x), float(y), float(z)


def weights_folder() -> Path:
    """Return the folder in which TotalSegmentator keeps its weights."""
    if "TOTALSEG_WEIGHTS_PATH" in os.environ:
        return Path(os.environ["TOTALSEG_WEIGHTS_PATH"])
    home = os.environ.get("TOTALSEG_HOME_DIR")
    return (Path(home) if home else Path.home() / ".totalsegmentator") / "nnunet" / "results"


def tasks() -> tuple[Task, ...]:
    """Return the tasks that the installed TotalSegmentator knows, by name.

    Raises
    ------
    BundleError
        If the extra ``totalsegmentator`` is not installed.
    """
    configs, maps = _package("map_tasks_config"), _package("map_to_binary")
    found = []
    for base, config in sorted(configs.TASK_CONFIGS.items()):
        if base not in maps.class_map:
            continue
        modes = config.get("sub_modes") or {"default": config}
        for mode, about in modes.items():
            name = base if mode == "default" else f"{base}:{mode}"
            found.append(_task(name, base, {**configs.DEFAULT_CONFIG, **config, **about}, configs, maps))
    return tuple(found)


def fetch_totalsegmentator(name: str, agreed: str, control: Control) -> Generator[Event, None, Bundle]:
    """Return the bundle of a task, whose weights are fetched if they are not there.

    The steps are TotalSegmentator's: turned to right, anterior, superior, brought to the task's voxel size in whole
    numbers, all part models without mirroring, and back by the nearest voxel. Volumes so large that TotalSegmentator
    cuts them in three are done in one here.

    Parameters
    ----------
    name : str
        Such as ``total``, ``total:fast`` or ``total_mr``.
    agreed : str
        The `LicenceError.token` of what the user agreed to; needed only where something has to be fetched.
    control : Control
        Cancels and pauses.

    Yields
    ------
    Event
        `Progress` in megabytes.

    Raises
    ------
    BundleError, ConfigError
        If there is no such task, it has no counterpart here, or its weights are only for licence holders.
    LicenceError
        If weights have to be fetched and the user has not agreed.
    """
    known = {task.name: task for task in tasks()}
    if name not in known:
        close = [other for other in known if other.startswith(name.split("_")[0])]
        raise ConfigError(f"TotalSegmentator has no task {name!r}.", f"It has {', '.join(close or known)}.")
    task = known[name]
    if task.refusal:
        raise BundleError(f"TotalSegmentator's task {name} {task.refusal}.", "Run it with TotalSegmentator itself.")
    missing = [about for about in task.weights if not _place(about).is_dir()]
    if missing:
        _ask(task, missing, agreed)
        yield from _fetch(missing, control)
    return _bundle(task)


def _task(name: str, base: str, about: Json, configs: Any, maps: Any) -> Task:  # noqa: ANN401 - modules of the package
    numbers = about.get("task_id")
    models = tuple(numbers) if isinstance(numbers, list) else (numbers,)
    weights = tuple(configs.TASK_ID_WEIGHTS_CONFIGS.get(number, {}) for number in models)
    commercial = bool(about.get("commercial")) or any(number in maps.commercial_models.values() for number in models)
    reasons = [text for key, text in NEEDS.items() if about.get(key)]
    reasons += ["has steps of its own after the network"] if base in OWN_STEPS else []
    reasons += [] if all(entry.get("foldername") for entry in weights) else ["has no published weights"]
    refusal = reasons[0] if reasons else ""
    return Task(name, base, about, models, weights, dict(maps.class_map[base]), commercial, refusal)


def _ask(task: Task, missing: list[Json], agreed: str) -> None:
    if task.commercial:
        raise BundleError(
            f"The weights of TotalSegmentator's task {task.name} are only for holders of a licence from its makers.",
            "Fetch them with TotalSegmentator's own commands totalseg_set_license and totalseg_download_weights, and "
            "add the task again.",
        )
    token = ",".join(str(about["foldername"]) for about in missing)
    if agreed == token:
        return
    lines = [
        f"TotalSegmentator {task.name}: {len(task.classes)} classes",
        *(f"From: {_address(about)}" for about in missing),
        f"Licence: {LICENCE}; its makers publish no checksum of the files",
        f"Cite: {CITATION}",
    ]
    raise LicenceError(
        f"The weights of {task.name} have to be fetched ({len(missing)} files), under {LICENCE}.",
        "Read the terms, and add it again with --yes.",
        "\n".join(lines),
        token,
    )


def _fetch(missing: list[Json], control: Control) -> Iterator[Event]:
    for about in missing:
        place = _place(about)
        archive = place.parent / f"{about['foldername']}.zip"
        yield from fetch_file(_address(about), archive, "", control)
        with TemporaryDirectory(dir=place.parent, prefix=".unpacking-") as folder:
            unpack(archive, Path(folder))
            (Path(folder) / str(about["foldername"])).rename(place)
        archive.unlink()


def _address(about: Json) -> str:
    base = (os.environ.get(ADDRESS_VARIABLE) or RELEASES).rstrip("/")
    return f"{base}/{about.get('version')}/{about['foldername']}.zip"


def _place(about: Json) -> Path:
    return weights_folder() / str(about.get("rel_path") or "") / str(about["foldername"])


def _bundle(task: Task) -> Bundle:
    values = {label: value for value, label in task.classes.items()}
    members, tables = [], []
    for number, about in zip(task.models, task.weights, strict=True):
        member = _member(task, _place(about))
        part = _part_names(number, task)
        members.append(member)
        tables.append({own: values[label] for own, label in part.items() if label in values})
    spec = ModelSpec(
        name=f"TotalSegmentator {task.name}",
        architecture=SEVERAL,
        dims=members[0].spec.dims,
        channels=members[0].spec.channels,
        classes=(BACKGROUND, *(LabelClass(value=v, name=n) for v, n in sorted(task.classes.items()))),
        axcodes=None,
        patch_size=members[0].spec.patch_size,
        pipeline=Parts(tables=tuple(tables), spacing=task.spacing),
        modality="MR" if task.base.endswith("_mr") else "CT",
        description=f"TotalSegmentator's task {task.name}.",
        licence="LicenseRef-TotalSegmentator" if task.commercial else LICENCE,
        citation=CITATION,
    )
    return Bundle(spec, b"", None, tuple(members))


def _member(task: Task, place: Path) -> Bundle:
    """Return one part: the fold that TotalSegmentator uses, without mirroring."""
    wanted = f"{task.about.get('trainer')}__{task.about.get('plans') or 'nnUNetPlans'}__{task.about.get('model')}"
    trained = [place / wanted] if is_nnunet(place / wanted) else [f for f in sorted(place.iterdir()) if is_nnunet(f)]
    if len(trained) != 1:
        raise BundleError(f"{place} holds {len(trained)} trained models instead of {wanted}.", "Delete it; add again.")
    folds = [str(fold) for fold in task.about.get("folds") or (0,)]
    bundle = import_nnunet(trained[0], folds)
    pipeline = bundle.spec.pipeline
    assert isinstance(pipeline, NnUNet)
    overlap = 0.2 if task.base in WIDE_STEPS else 0.5
    changes = {
        "options": {**bundle.spec.options, "mirror_axes": []},
        "pipeline": pipeline.model_copy(update={"overlap": overlap}),
        "licence": LICENCE,
    }
    return Bundle(bundle.spec.model_copy(update=changes), bundle.weights)


def _part_names(number: int | str, task: Task) -> dict[int, str]:
    """Return the names of the label values of one model."""
    if len(task.models) == 1:
        return task.classes
    maps = _package("map_to_binary")
    names = {
        "ct": "class_map_5_parts",
        "ct_v3": "class_map_5_parts_total_v3",
        "mr": "class_map_parts_mr",
        "headneck_muscles": "class_map_parts_headneck_muscles",
    }
    for kind in PART_MAPS:
        part = getattr(maps, f"map_taskid_to_partname_{kind}", {}).get(number)
        if part is not None and part in getattr(maps, names[kind], {}):
            return dict(getattr(maps, names[kind])[part])
    raise BundleError(f"TotalSegmentator does not say what its model {number} finds.", "Install another version of it.")


def _package(module: str) -> Any:  # noqa: ANN401 - a module of another package
    try:
        return import_module(f"totalsegmentator.{module}")
    except ImportError as error:
        raise BundleError(
            "TotalSegmentator's tasks need a package that is not installed, or a newer one.",
            "pip install 'napari-medseg[totalsegmentator]'",
        ) from error
