"""Loaded by the workers of the tests' cluster: writes down which cases each process begins and finishes."""

import os
from pathlib import Path
from typing import Any

from napari_medseg.jobs import cluster_task


def note(what: str, case: str) -> None:
    log = Path(os.environ["CLUSTER_TEST_LOG"])
    with (log / f"{os.getpid()}.log").open("a") as file:
        file.write(f"{what} {case}\n")


def finish(case: Any, outcome: Any, request: Any) -> Any:
    record = _finish(case, outcome, request)
    note("finished", case.name)
    return record


def load(case: Any, bundle: Any, control: Any) -> Any:
    note("began", case.name)
    return _load(case, bundle, control)


_finish, _load = cluster_task.finish, cluster_task.load  # type: ignore[attr-defined]


def dask_setup(_worker: Any) -> None:
    """Put the notes in place; Dask may execute this file more than once, but calls this once."""
    cluster_task.finish, cluster_task.load = finish, load  # type: ignore[attr-defined]
