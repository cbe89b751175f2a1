"""The folder of a training run: what is trained on what, and everything needed to go on after a crash."""

import json
import shlex
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from napari_medseg.errors import ConfigError
from napari_medseg.models.retarget import check_trainable
from napari_medseg.models.spec import ModelSpec
from napari_medseg.progress import Event
from napari_medseg.training.atomic import write_text
from napari_medseg.training.config import TrainConfig

if TYPE_CHECKING:
    from napari_medseg.training.gate import Verdict
    from napari_medseg.training.measured import Measurement

ConfigT = TypeVar("ConfigT", bound=BaseModel)


class Case(BaseModel):
    """An image and its labels, by path, on the same grid."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    id: Annotated[str, Field(min_length=1)]
    """Identifier within the run, used in events and messages."""
    image: Path
    """Anything `napari_medseg.io.read` reads."""
    labels: Path
    """A label map that `napari_medseg.io.read` reads; edits of a memory-mapped one are seen while training."""
    scheme: Literal["sparse", "dense", "foreground"] = "sparse"
    """``sparse``: 0 is unlabelled and 255 is background (strokes). ``dense``: 0 is background (all is annotated)."""
    group: str = ""
    """Patient; cases of one group are never split between training and validation. Empty: a group of its own."""


class RunConfig(BaseModel):
    """What is trained, on what, and how."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    spec: ModelSpec
    """The model to be made."""
    cases: Annotated[tuple[Case, ...], Field(min_length=1)]
    train: TrainConfig = TrainConfig()
    init: Path | None = None
    """Folder of the bundle to start from; None starts from random weights."""
    replaces: Path | None = None
    """Folder whose place the model is to take, if it is no worse than a bundle that is there."""
    checked: tuple[Case, ...] = ()
    """Not trained on; what is labelled there counts where the model is compared with the one whose place it takes."""

    @model_validator(mode="after")
    def _distinct(self) -> "RunConfig":
        ids = [case.id for case in (*self.cases, *self.checked)]
        if len(set(ids)) < len(ids):
            raise ValueError(f"case identifiers must be distinct; got {ids}")
        return self


@dataclass(frozen=True)
class TrainResult:
    """What a training run ends with."""

    bundle: Path
    """The model's folder."""
    step: int
    """Step of the weights in it."""
    steps: int
    """Steps that were planned."""
    stopped: bool
    """Whether the user ended it before the plan."""
    dice: dict[str, float] | None
    """Dice per foreground class on held-out voxels of the weights in the bundle; None when not validated."""
    seconds: float
    """Training time, over all resumptions."""
    measured: "Measurement | None" = None
    """The same with intervals, and what is missing; None where the job was cancelled or replayed."""
    verdict: "Verdict | None" = None
    """Whether the model may take the place of the one before; None if there is none."""


@dataclass(frozen=True)
class RunFolder:
    """The places in a run's folder."""

    path: Path

    @property
    def config(self) -> Path:
        """What is trained, on what, and how."""
        return self.path / "config.json"

    @property
    def events(self) -> Path:
        """One JSON object per event, without arrays."""
        return self.path / "events.jsonl"

    @property
    def held_out(self) -> Path:
        """The voxels that are kept out of training, per case."""
        return self.path / "held_out.npz"

    @property
    def journal(self) -> Path:
        """What the run was told while it ran; see `napari_medseg.training.journal`."""
        return self.path / "journal.jsonl"

    @property
    def arrays(self) -> Path:
        """The label arrays that the journal refers to."""
        return self.path / "journal.bin"

    @property
    def labelled(self) -> Path:
        """The voxels that a human had labelled by the end, per case."""
        return self.path / "labelled.npz"

    @property
    def verdict(self) -> Path:
        """Whether the model may take the place of the one before."""
        return self.path / "verdict.json"

    @property
    def tensorboard(self) -> Path:
        """Curves for TensorBoard."""
        return self.path / "tensorboard"

    @property
    def last(self) -> Path:
        """The checkpoint to resume from."""
        return self.path / "checkpoints" / "last.pt"

    @property
    def best(self) -> Path:
        """The weights that scored best so far."""
        return self.path / "checkpoints" / "best.pt"

    @property
    def bundle(self) -> Path:
        """The model, once trained."""
        return self.path / "bundle"

    @property
    def replay_command(self) -> str:
        """The command line that does the run again."""
        folders = (shlex.quote(str(path)) for path in (self.path, self.path.with_name(f"{self.path.name}-again")))
        return "napari-medseg train {} --replay {} --out {}".format(self.task, *folders)

    @property
    def task(self) -> str:
        """What is trained here, as `ModelSpec.task`; a segmentation if the configuration does not say."""
        try:
            return str(json.loads(self.config.read_text(encoding="utf-8"))["spec"]["task"])
        except (OSError, ValueError, KeyError, TypeError):
            return "segmentation"

    def load(self) -> RunConfig:
        """Read the run's configuration.

        Raises
        ------
        ConfigError
            If the folder holds no run, or one that cannot be understood.
        """
        return self.read(RunConfig)

    def read(self, kind: type[ConfigT]) -> ConfigT:
        """Read the run's configuration as that of a kind of task.

        Raises
        ------
        ConfigError
            If the folder holds no run, or one that cannot be understood.
        """
        try:
            return kind.model_validate_json(self.config.read_text(encoding="utf-8"))
        except OSError as error:
            raise ConfigError(
                f"{self.path} holds no training run: {error.strerror}.", "Choose a run's folder."
            ) from error
        except ValidationError as error:
            raise ConfigError(f"{self.config} is not understood: {error}.", "Start a new run.") from error

    def clear(self) -> None:
        """Remove what an earlier attempt at this run left, except its bundle."""
        made = (
            self.events,
            self.held_out,
            self.labelled,
            self.verdict,
            self.journal,
            self.arrays,
            self.last,
            self.best,
        )
        for path in made:
            path.unlink(missing_ok=True)
        shutil.rmtree(self.tensorboard, ignore_errors=True)

    def log(self, event: Event) -> None:
        """Append an event to the log, leaving out arrays."""
        record: dict[str, Any] = {"event": type(event).__name__}
        for entry in fields(event):
            value = getattr(event, entry.name)
            if not hasattr(value, "dtype"):
                record[entry.name] = value
        with self.events.open("a", encoding="utf-8") as file:
            file.write(json.dumps(record, default=_plain) + "\n")


def create_run(
    folder: Path | str,
    spec: ModelSpec,
    cases: Sequence[Case],
    train: TrainConfig | None = None,
    init: Path | str | None = None,
    replaces: Path | None = None,
    checked: Sequence[Case] = (),
) -> RunFolder:
    """Lay out a new run's folder, ready for `napari_medseg.training.train`.

    Parameters
    ----------
    folder : path
        New or without a run in it; what else it holds is left alone.
    spec : ModelSpec
        The model to be made.
    cases : sequence of Case
        What to train on.
    train : TrainConfig, optional
        How; the defaults if None.
    init : path, optional
        Bundle to start from.
    replaces : path, optional
        Folder whose place the model is to take, if it is no worse than a bundle that is there.
    checked : sequence of Case, optional
        Not trained on; what is labelled there counts where the two models are compared.

    Returns
    -------
    RunFolder
        The folder.

    Raises
    ------
    ConfigError
        If the folder already holds a run, or the parts contradict each other.
    """
    run = RunFolder(Path(folder))
    if run.config.exists():
        raise ConfigError(f"{run.path} already holds a training run.", "Resume it, or choose another folder.")
    check_trainable(spec)
    try:
        config = RunConfig(
            spec=spec,
            cases=tuple(cases),
            train=train or TrainConfig(),
            init=None if init is None else Path(init),
            replaces=replaces,
            checked=tuple(checked),
        )
    except ValidationError as error:
        raise ConfigError(f"The training cannot be set up: {error}.", "Correct the settings.") from error
    run.last.parent.mkdir(parents=True, exist_ok=True)
    write_text(run.config, config.model_dump_json(indent=1))
    write_text(run.path / "replay.txt", run.replay_command + "\n")
    return run


def _plain(value: object) -> object:
    if isinstance(value, Path):
        return str(value)
    if is_dataclass(value) and not isinstance(value, type):
        return {entry.name: getattr(value, entry.name) for entry in fields(value)}
    raise TypeError(f"{type(value).__name__} has no place in the log")
