"""What a worker of a Dask cluster does for `predict_on_cluster`."""

import os
import threading
import time
from collections import Counter
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, cast

from napari_medseg.errors import Cancelled, JobError, MedsegError
from napari_medseg.inference.cases import Case, CaseRecord, PredictRequest
from napari_medseg.inference.cases.records import Records
from napari_medseg.inference.cases.stages import Source, compute, finish, load, one_kind_of_error
from napari_medseg.prediction import Prediction
from napari_medseg.progress import Control, Finished

if TYPE_CHECKING:
    from napari_medseg.models import Bundle

LOOK_SECONDS = 1.0
"""Between two looks at whether the run was stopped; the folder may be far away."""

_slots = threading.BoundedSemaphore(2)
"""A process holds two images at most, however many threads it has: one is computed and the other read or written."""

_computing = threading.Lock()


class SharedControl(Control):
    """A control that anyone who shares a folder can cancel, by making a file.

    Parameters
    ----------
    flag : Path
        The file.
    """

    def __init__(self, flag: Path) -> None:
        super().__init__()
        self._flag = flag
        self._due = 0.0

    def checkpoint(self) -> None:
        """Raise `Cancelled` once the file is there."""
        now = time.monotonic()
        if now >= self._due:
            self._due = now + LOOK_SECONDS
            if self._flag.exists():
                self.cancel()
        super().checkpoint()


def predict_case(
    case: Case, request: PredictRequest, stop: Path, neighbours: dict[str, int], version: str
) -> CaseRecord | None:
    """Do one case, unless it is done, and return its record.

    Parameters
    ----------
    case, request : Case, PredictRequest
        What to do.
    stop : Path
        File that stops the run when it appears.
    neighbours : dict of str to int
        How many workers there are on each computer, which share its processors.
    version : str
        Of napari-medseg where the work comes from.

    Returns
    -------
    CaseRecord or None
        None if the run was stopped.
    """
    check_version(version)
    records, control = Records(request.folder), SharedControl(stop)
    with _slots:
        # Another worker may have finished it, and been lost before it could say so.
        if (record := records.done(case, request)) is not None:
            return record
        try:
            control.checkpoint()
            # An error of a library may not survive the journey; its text does.
            with one_kind_of_error(case):
                outcome = _predict(case, request, control, neighbours)
        except Cancelled:
            return None
        except MedsegError as error:
            return finish(case, error, request)
        return records.done(case, request) or finish(case, outcome, request)


def _predict(
    case: Case, request: PredictRequest, control: Control, neighbours: dict[str, int]
) -> tuple[Source, Prediction]:
    bundle = model_of(request.bundle, request.bundle_hash)
    loaded = load(case, bundle, control)
    with _computing:
        share_processors(neighbours)
        for event in compute(case, loaded, bundle, request, control):
            if isinstance(event, Finished):
                return loaded.source, cast("Prediction", event.result)
    raise JobError(f"The prediction on {case.name} ended without a result.", "This is an error inside napari-medseg.")


@cache
def model_of(path: Path, wanted: str) -> "Bundle":
    """Return the model, which must be the one that the run began with."""
    from napari_medseg.models import Bundle

    bundle = Bundle.load(path)
    if bundle.hash != wanted:
        raise JobError(f"The model in {path} is another one here.", "Give the workers the same folder.")
    return bundle


def problem_of_worker(request: PredictRequest, token: Path, content: str, version: str) -> str | None:
    """Return why this worker cannot do the work; None if it can."""
    try:
        check_version(version)
        model_of(request.bundle, request.bundle_hash)
    except MedsegError as error:
        return str(error)
    if not token.is_file() or token.read_text(encoding="utf-8") != content:
        return f"It does not see what is in {request.folder}."
    return None if os.access(request.folder, os.W_OK) else f"It may not write into {request.folder}."


def check_version(wanted: str) -> None:
    """Raise `JobError` unless this environment has the same version as the one where the work comes from."""
    from importlib.metadata import version

    own = version("napari-medseg")
    if own != wanted:
        raise JobError(
            f"It has napari-medseg {own}, and the work comes from {wanted}.", "Install the same version on both sides."
        )


def workers_by_host(addresses: Iterable[str]) -> dict[str, int]:
    """Return how many workers there are on each computer.

    Examples
    --------
    >>> workers_by_host(["tcp://10.0.0.1:4001", "tcp://10.0.0.1:4002", "tls://10.0.0.2:4001"])
    {'10.0.0.1': 2, '10.0.0.2': 1}
    """
    from distributed.comm.addressing import get_address_host

    return dict(Counter(get_address_host(address) for address in addresses))


def share_processors(neighbours: dict[str, int]) -> None:
    """Compute with this worker's share of the computer's processors.

    Dask starts its workers with one thread for numerical libraries, which suits many small tasks; a network is one
    large task.
    """
    import torch
    from dask.system import CPU_COUNT
    from distributed import get_worker
    from distributed.comm.addressing import get_address_host

    workers = neighbours.get(get_address_host(get_worker().address), 1)
    torch.set_num_threads(max(1, CPU_COUNT // workers))
