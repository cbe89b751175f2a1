"""What trainings that are scored on images kept out of them have in common: settings, folder, result."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from napari_medseg.models.spec import ModelSpec
from napari_medseg.training.clock import Clock

Share = Annotated[float, Field(ge=0, le=1)]


class ScoredConfig(BaseModel):
    """How long to learn, and by which steps."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    minutes: Annotated[float, Field(gt=0, le=10_000)] | None = 10.0
    """Most time to train, reading the images included. The first steps are timed, and the number of steps follows.
    None: train for `epochs`."""
    clock: Clock = "wall"
    """What the minutes are of: time as it passes, or the work of all threads, for comparisons on a busy machine."""
    epochs: Annotated[int, Field(ge=1, le=100_000)] | None = None
    """Most times that each image is seen; None for 60, and more where these are less than 1000 steps."""
    pretrained: str | None = None
    """Weights to begin with; None for random ones."""
    optimizer: Literal["adamw", "sgd"] = "adamw"
    learning_rate: Annotated[float, Field(gt=0, le=1)] = 1e-3
    """Peak learning rate; SGD wants about ten times as much."""
    weight_decay: Share = 0.05
    warmup: Annotated[float, Field(ge=0, le=0.5)] = 0.05
    """Share of the steps in which the learning rate rises; afterwards it falls as half a cosine."""
    patience: Annotated[int, Field(ge=1)] = 20
    """Validations without a better score after which training ends; there are about 20 in all."""
    checkpoint_seconds: Annotated[float, Field(ge=0)] = 20.0
    """Least time between two checkpoints, from which a run resumes; 0 writes one after every step."""
    device: str = "auto"
    """``auto``, ``cpu``, ``cuda``, ``cuda:1``, ``mps``."""
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    """Everything random follows from it and the step's number."""


class ScoredRun(BaseModel):
    """What is trained, on what, and how."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    spec: ModelSpec
    """The model to be made."""
    images: Path
    """What is trained on."""
    fingerprint: str
    """SHA-256 of all images and what is known of them: a run goes on with what it began with."""
    train: ScoredConfig
    init: Path | None = None
    """Folder of the bundle to start from."""

    @property
    def pretrained(self) -> bool:
        """Whether all but what depends on the classes has learnt before."""
        return self.init is not None or self.train.pretrained is not None


@dataclass(frozen=True)
class ScoredResult:
    """What such a training ends with."""

    bundle: Path
    """The model's folder."""
    step: int
    """Step of the weights in it."""
    steps: int
    """Steps that were planned."""
    stopped: bool
    """Whether it ended before the plan, as asked or as nothing got better."""
    scores: dict[str, float]
    """On the images that were kept out of training; empty where none were."""
    seconds: float
    """Training time, over all resumptions."""
