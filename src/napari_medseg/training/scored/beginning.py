"""The network of a run as it begins."""

from collections.abc import Callable, Generator
from pathlib import Path

import torch
from torch import nn

from napari_medseg.models import Bundle, ModelSpec, build
from napari_medseg.models.pretrained import take_over
from napari_medseg.progress import Event, Note
from napari_medseg.training.scored.run import ScoredRun


def beginning(
    run: ScoredRun,
    resume: bool,
    fetch: Callable[[str], Generator[Event, None, Path]],
    load: Callable[[nn.Module, ModelSpec, Path], None],
) -> Generator[Event, None, nn.Module]:
    """Return a run's network with random, given or fetched weights.

    Parameters
    ----------
    run : ScoredRun
        The run.
    resume : bool
        Whether weights come from a checkpoint anyway.
    fetch : callable
        Returns the file of the weights that ``pretrained`` names.
    load : callable
        Puts the weights of a file into a network.

    Raises
    ------
    MedsegError
        If weights cannot be had, or are those of another network.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(run.train.seed)
        network = build(run.spec)
    if resume:
        return network
    if run.init is not None:
        start = Bundle.load(run.init)
        take_over(network, run.spec, start.state_dict(), start.spec.name)
        yield Note(f"Training starts from the weights of {start.spec.name}.")
    elif run.train.pretrained is not None:
        path = yield from fetch(run.train.pretrained)
        load(network, run.spec, path)
        yield Note(f"Training starts from the weights in {path.name}.")
    return network
