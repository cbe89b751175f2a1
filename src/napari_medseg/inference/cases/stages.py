"""The three stages of one case: reading and preparing, predicting, writing. Each may run in a thread of its own."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING

from napari_medseg.errors import JobError, MedsegError, ReadError
from napari_medseg.inference.cases.fingerprint import fingerprint, stamp
from napari_medseg.inference.cases.records import CaseRecord, Records
from napari_medseg.inference.cases.request import Case, PredictRequest
from napari_medseg.inference.cases.saving import saver_for
from napari_medseg.inference.volumes import volumes_ml
from napari_medseg.io import read
from napari_medseg.prediction import Prediction
from napari_medseg.progress import Control, Event
from napari_medseg.volume import Volume

if TYPE_CHECKING:
    from napari_medseg.inference.preprocess import ModelGrid
    from napari_medseg.models import Bundle


@dataclass(frozen=True)
class Source:
    """What is remembered of an image when it is no longer in memory."""

    fingerprint: str
    stamp: str
    seconds: float
    """Time that reading and preparing took."""


@dataclass(frozen=True, eq=False)
class Loaded:
    """An image that is ready for the network."""

    volume: Volume
    grid: "ModelGrid | None"
    source: Source


def load(case: Case, bundle: "Bundle", control: Control) -> Loaded:
    """Read an image and bring it to the network's grid.

    Raises
    ------
    MedsegError
        If it cannot be read, or does not fit the model.
    """
    started = time.monotonic()
    with one_kind_of_error(case):
        from napari_medseg.inference.preprocess import to_model_grid

        volumes = read(case.path, control, series=case.series_id, suv=True)
        images = [volume for volume in volumes if volume.kind == "image"]
        if len(images) != 1:
            raise ReadError(f"{case.path.name} holds {len(images)} images.", "Predict on one image at a time.")
        when, what = stamp(case.path), fingerprint(case.path)
        # Models with a way of their own prepare the image themselves.
        grid = to_model_grid(images[0], bundle.spec) if bundle.spec.pipeline is None else None
        return Loaded(images[0], grid, Source(what, when, time.monotonic() - started))


def compute(case: Case, loaded: Loaded, bundle: "Bundle", request: PredictRequest, control: Control) -> Iterator[Event]:
    """Predict on an image; the events of `napari_medseg.inference.predict`, last `Finished` with a `Prediction`.

    Raises
    ------
    MedsegError
        If it cannot be predicted on.
    """
    with one_kind_of_error(case):
        from napari_medseg.inference.engine import predict

        yield from predict(loaded.volume, bundle, request.options, control, loaded.grid)


def finish(case: Case, outcome: tuple[Source, Prediction] | MedsegError, request: PredictRequest) -> CaseRecord:
    """Write the results of a case, and then the record that says so; or write down why there are none.

    Parameters
    ----------
    case : Case
        Which one.
    outcome : (Source, Prediction) or MedsegError
        From the stages before, or the reason why they ended.
    request : PredictRequest
        Where to, and in which format.

    Returns
    -------
    CaseRecord
        With status ``"done"`` or ``"failed"``.

    Raises
    ------
    WriteError
        If not even the record can be written.
    """
    if isinstance(outcome, MedsegError):
        return _give_up(case, request, outcome)
    try:
        return _save(case, *outcome, request)
    except MedsegError as error:
        return _give_up(case, request, error)


def _save(case: Case, source: Source, prediction: Prediction, request: PredictRequest) -> CaseRecord:
    started, records = time.monotonic(), Records(request.folder)
    with one_kind_of_error(case):
        outputs = saver_for(request.format)(prediction, case, request.folder)
        record = CaseRecord(
            case=case.name,
            status="done",
            image=case.path,
            series=case.series_id,
            fingerprint=source.fingerprint,
            stamp=source.stamp,
            bundle=request.bundle_name,
            bundle_hash=request.bundle_hash,
            options=request.options.model_dump(mode="json"),
            format=request.format,
            device=str(prediction.options.get("device", "")),
            outputs=records.result_files(outputs),
            volumes_ml=volumes_ml(prediction),
            seconds=source.seconds + prediction.seconds + time.monotonic() - started,
            version=version("napari-medseg"),
        )
        records.save(record)
        return record


def _give_up(case: Case, request: PredictRequest, error: MedsegError) -> CaseRecord:
    """Write down that a case failed, without leaving results of an earlier run that would pass for its own."""
    records = Records(request.folder)
    record = CaseRecord(
        case=case.name,
        status="failed",
        error=str(error),
        image=case.path,
        series=case.series_id,
        bundle=request.bundle_name,
        bundle_hash=request.bundle_hash,
        options=request.options.model_dump(mode="json"),
        format=request.format,
        version=version("napari-medseg"),
    )
    with one_kind_of_error(case):
        records.discard(case.name)
        records.save(record)
    return record


@contextmanager
def one_kind_of_error(case: Case) -> Iterator[None]:
    """Turn whatever goes wrong with one case into a `MedsegError`, so that the others go on."""
    try:
        yield
    except MedsegError:
        raise
    except Exception as error:
        text = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        raise JobError(f"{case.name} failed ({text}).", "The other images are not affected.") from error
