"""The settings of a training run."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from napari_medseg.training.clock import Clock


class TrainConfig(BaseModel):
    """How to train; the defaults learn from a few strokes in about a minute on a laptop.

    Examples
    --------
    >>> TrainConfig(steps=50).learning_rate
    0.005
    """

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    minutes: Annotated[float, Field(gt=0, le=10_000)] | None = 1.0
    """Time to train. The first steps are timed, then the number of steps is fixed and written down. None: train for
    `steps`."""
    clock: Clock = "wall"
    """What the minutes are of: time as it passes, or the work of all threads, for comparisons on a busy machine."""
    steps: Annotated[int, Field(ge=1, le=1_000_000)] = 500
    """Optimiser steps; read only when `minutes` is None."""
    optimizer: Literal["adamw", "sgd"] = "adamw"
    """``sgd`` has Nesterov's momentum; with ``schedule`` poly and a learning rate of 0.01 it is nnU-Net's."""
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.99
    """Of ``sgd`` alone: share of the last step that goes into the next."""
    learning_rate: Annotated[float, Field(gt=0, le=1)] = 5e-3
    """Peak learning rate."""
    body_rate: Annotated[float, Field(gt=0, le=1, title="Rate of old layers")] = 0.1
    """When training starts from a model: learning rate of the layers that were taken over, as a share of that of new
    ones."""
    freeze: Literal["none", "encoder", "head", "staged"] = "none"
    """When training starts from a model, what stays as it is, statistics of batch normalisation included: nothing, the
    encoder, or all but the output layers (``head``). ``staged``: at first all but the output layers, from a fifth of
    the steps on the encoder, from two fifths on nothing."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share of the channels before the output layers that are set to zero at each step, against overfitting."""
    weight_decay: Annotated[float, Field(ge=0, le=1)] = 1e-2
    """Pull of the weights towards zero: decoupled in ``adamw``, part of the gradient in ``sgd`` (nnU-Net: 3e-5)."""
    schedule: Literal["cosine", "poly"] = "cosine"
    """How the learning rate falls to zero: half a cosine, or (1 - t)^0.9 as in nnU-Net."""
    warmup_steps: Annotated[int, Field(ge=0, le=10_000)] = 10
    """Steps over which the learning rate first rises."""
    gradient_clip: Annotated[float, Field(gt=0)] = 5.0
    """Largest norm of the gradient; longer ones are shortened."""
    batch_size: Annotated[int, Field(ge=1, le=256)] = 2
    """Patches per step."""
    patch_size: tuple[Annotated[int, Field(ge=8, le=1024)], ...] | None = None
    """Voxels of a training patch in the order of the network's grid, one number per dimension of the network; None
    chooses from the network and the image."""
    flips: bool = True
    """Augmentation: mirror patches along their axes."""
    geometry: bool = True
    """Augmentation: rotate and scale patches a little."""
    intensity: bool = True
    """Augmentation: change brightness, contrast and gamma a little, and add noise."""
    teacher: bool = True
    """Let a pixel classifier that has learnt from the same strokes label what it is sure of; the user's own voxels
    always rule. For new networks on images that are not annotated completely."""
    pretrain_steps: Annotated[int, Field(ge=0, le=1_000_000)] = 0
    """Steps in which a new network first learns to fill in what was hidden of the images, without labels; their time
    counts as that of the training."""
    hold_out: Annotated[float, Field(ge=0, le=0.5)] = 0.15
    """Share of the annotation that is kept out of training to measure Dice on; 0 trains on everything."""
    validate_every: Annotated[int, Field(ge=1)] | None = None
    """Steps between two measurements on the held-out annotation; None: 50, and so many more in a long training that
    there are fifty measurements."""
    patience: Annotated[int, Field(ge=1, le=10_000)] | None = None
    """End the training after so many measurements without a higher Dice; None goes on to the planned end."""
    checkpoint_seconds: Annotated[float, Field(ge=0)] = 20.0
    """Least time between two checkpoints, from which a run resumes; 0 writes one after every step."""
    preview_hz: Annotated[float, Field(ge=0, le=2)] = 1.0
    """Most previews of the visible slice per second; 0 for none."""
    wandb: Annotated[Literal["offline", "online", "off"], Field(title="Weights & Biases")] = "offline"
    """Weights & Biases, where it is installed: ``offline`` writes into the run's folder and sends nothing, ``online``
    sends settings and scores, no images, to your account."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Number format of the network's arithmetic; ``auto`` takes bfloat16 where the processor computes in it."""
    device: str = "auto"
    """``auto``, ``cpu``, ``cuda``, ``cuda:1``, ``mps``."""
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    """Everything random follows from it and the step's number."""
