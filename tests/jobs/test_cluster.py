"""Many cases on a real Dask cluster of several processes, one of which is killed in the middle."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from napari_medseg.errors import Cancelled, ConfigError, JobError
from napari_medseg.inference import PredictOptions, predict
from napari_medseg.inference.cases import CasesResult, PredictRequest, find_cases
from napari_medseg.io import read, write
from napari_medseg.jobs.cluster import predict_on_cluster
from napari_medseg.jobs.cluster_task import check_version, problem_of_worker
from napari_medseg.jobs.connection import connected, security_from
from napari_medseg.models import Bundle, ModelSpec, build
from napari_medseg.progress import Control, Event, Finished, Note, Progress
from napari_medseg.volume import Geometry, LabelClass, Volume

CPU = PredictOptions(device="cpu")
PRELOAD = Path(__file__).with_name("cluster_preload.py")


class Cluster:
    """A scheduler and workers, each a process of its own."""

    def __init__(self, folder: Path, workers: int) -> None:
        self.log = folder / "log"
        self.log.mkdir()
        self._environment = os.environ | {"CLUSTER_TEST_LOG": str(self.log)}
        place = folder / "scheduler.json"
        scheduler = self._start(
            "dask_scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", place
        )
        deadline = time.monotonic() + 60
        while not place.exists() and time.monotonic() < deadline:
            time.sleep(0.1)
        self.address = json.loads(place.read_text())["address"]
        self.workers = [
            self._start("dask_worker", self.address, "--no-nanny", "--nthreads", "2", "--no-dashboard",
                        "--local-directory", folder, "--preload", PRELOAD)
            for _ in range(workers)
        ]  # fmt: skip
        self.processes = [scheduler, *self.workers]

    def lines(self, what: str) -> list[str]:
        """Return the cases that were begun or finished, by all processes together."""
        words = [line.split() for log in self.log.glob("*.log") for line in log.read_text().splitlines()]
        return sorted(case for kind, case in words if kind == what)

    def begun_by(self, process: "subprocess.Popen[bytes]") -> list[str]:
        log = self.log / f"{process.pid}.log"
        return log.read_text().splitlines() if log.exists() else []

    def close(self) -> None:
        for process in self.processes:
            process.kill()
            process.wait()

    def _start(self, what: str, *arguments: object) -> "subprocess.Popen[bytes]":
        command = [sys.executable, "-m", f"distributed.cli.{what}", *map(str, arguments)]
        return subprocess.Popen(command, env=self._environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Callable[[int], Cluster]]:
    started: list[Cluster] = []

    def start(workers: int) -> Cluster:
        started.append(Cluster(tmp_path, workers))
        return started[-1]

    yield start
    for one in started:
        one.close()


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    classes = (LabelClass(value=0, name="background"), LabelClass(value=3, name="a"))
    options = {"features": 2, "stages": 2}
    spec = ModelSpec(name="tiny", architecture="unet", options=options, patch_size=(8, 8, 8), classes=classes)
    torch.manual_seed(0)
    return Bundle.create(spec, build(spec).state_dict()).save(tmp_path / "bundle")


@pytest.fixture
def images(tmp_path: Path) -> Path:
    for number in range(6):
        data = np.random.default_rng(number).normal(size=(24, 24, 24)).astype(np.float32)
        write(
            Volume(data, Geometry(data.shape, np.diag([3.0, 2.0, 1.0, 1.0]))), tmp_path / "images" / f"c{number}.nii.gz"
        )
    (tmp_path / "images" / "damaged.nii.gz").write_bytes(b"nothing")
    return tmp_path / "images"


def result_of(events: Iterator[Event], see: Callable[[Event], None] = lambda _event: None) -> CasesResult:
    for event in events:
        see(event)
        if isinstance(event, Finished):
            assert isinstance(event.result, CasesResult)
            return event.result
    raise AssertionError("no result")


def marks(folder: Path) -> dict[str, tuple[int, int]]:
    """Return what tells a finished file from another; one that is still being written has a hidden name."""
    finished = (path for path in folder.glob("*.nii.gz") if not path.name.startswith("."))
    return {path.name: (path.stat().st_ino, path.stat().st_mtime_ns) for path in finished}


@pytest.mark.slow
def test_a_killed_worker_costs_nothing_and_nothing_is_done_twice(
    cluster: Callable[[int], Cluster], bundle: Bundle, images: Path, tmp_path: Path
) -> None:
    running, out = cluster(3), tmp_path / "out"
    slow = PredictOptions(device="cpu", overlap=0.5, batch_size=1)
    request = PredictRequest.of(bundle, out, options=slow)
    killed: dict[str, Any] = {}
    notes: list[str] = []

    def kill_one_in_the_middle(event: Event) -> None:
        if isinstance(event, Note):
            notes.append(event.text)
        if killed or not isinstance(event, Progress) or event.done < 2:
            return
        for worker in running.workers:
            begun = [line.split()[1] for line in running.begun_by(worker) if line.startswith("began")]
            finished = [line.split()[1] for line in running.begun_by(worker) if line.startswith("finished")]
            if set(begun) - set(finished):
                worker.send_signal(signal.SIGKILL)
                worker.wait()
                killed.update(open=set(begun) - set(finished), marks=marks(out))
                return

    result = result_of(predict_on_cluster(find_cases([images])[0], request, running.address), kill_one_in_the_middle)
    assert killed["open"]
    assert any("lost" in note for note in notes)
    # Nothing lost: every image has its labels, and they are right.
    assert [record.case for record in result.done] == [f"c{n}" for n in range(6)]
    assert [record.case for record in result.failed] == ["damaged"]
    (volume,) = read(images / "c4.nii.gz")
    *_, last = predict(volume, bundle, slow)
    assert isinstance(last, Finished)
    np.testing.assert_array_equal(read(out / "c4.nii.gz")[0].data, last.result.label_map.labels)  # type: ignore[attr-defined]
    # Nothing twice: each case was finished once, by one process; those done before the kill were not touched after.
    finished = running.lines("finished")
    assert [case for case in finished if case != "damaged"] == [f"c{n}" for n in range(6)]
    # A failure is tried again where its worker was killed before it could tell.
    failures = finished.count("damaged")
    assert failures in (1, 2)
    assert killed["marks"].items() <= marks(out).items()
    again = [case for case in set(running.lines("began")) if running.lines("began").count(case) > 1]
    assert set(again) - {"damaged"} == killed["open"] - {"damaged"}
    manifest = json.loads((out / "manifest.json").read_text())
    assert len(manifest["cases"]) == 7
    assert not [path for path in out.rglob(".*") if path.name != ".cases"]

    # Once more: the damaged image only.
    result = result_of(predict_on_cluster(find_cases([images])[0], request, running.address))
    assert result.already_done == 6
    assert running.lines("finished").count("damaged") == failures + 1


@pytest.mark.slow
def test_cancel_stops_the_workers_and_keeps_what_is_done(
    cluster: Callable[[int], Cluster], bundle: Bundle, images: Path, tmp_path: Path
) -> None:
    running, control = cluster(1), Control()
    request = PredictRequest.of(
        bundle, tmp_path / "out", options=PredictOptions(device="cpu", overlap=0.9, batch_size=1)
    )

    def cancel(event: Event) -> None:
        if running.lines("began") and isinstance(event, Progress) and "workers" in event.stage:
            control.cancel()

    with pytest.raises(Cancelled):
        result_of(predict_on_cluster(find_cases([images])[0], request, running.address, control=control), cancel)
    began = running.lines("began")
    assert len(began) <= 3
    time.sleep(1)
    assert running.lines("began") == began
    assert len(running.lines("finished")) < 6
    assert not list((tmp_path / "out" / ".cases").glob(".stop*"))


def test_no_scheduler(bundle: Bundle, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("napari_medseg.jobs.connection.CONNECT_SECONDS", 1)
    request = PredictRequest.of(bundle, tmp_path / "out", options=CPU)
    with pytest.raises(JobError, match="no Dask scheduler to talk to"):
        list(predict_on_cluster(find_cases([images])[0], request, "tcp://127.0.0.1:9"))


def test_a_worker_that_cannot_do_the_work_says_why(bundle: Bundle, tmp_path: Path) -> None:
    from importlib.metadata import version

    own, token = version("napari-medseg"), tmp_path / "out" / "token"
    request = PredictRequest.of(bundle, tmp_path / "out")
    assert "does not see" in str(problem_of_worker(request, token, "x", own))
    token.parent.mkdir()
    token.write_text("x")
    assert problem_of_worker(request, token, "x", own) is None
    assert "comes from 0.0.7" in str(problem_of_worker(request, token, "x", "0.0.7"))
    other = request.model_copy(update={"bundle_hash": "0"})
    assert "another" in str(problem_of_worker(other, token, "x", own))
    with pytest.raises(JobError, match="Install the same version"):
        check_version("0.0.7")


def test_certificates(tmp_path: Path) -> None:
    for name in ("ca.pem", "cert.pem"):
        (tmp_path / name).touch()
    file = tmp_path / "tls.yaml"
    file.write_text("ca: ca.pem\ncert: cert.pem\nkey: key.pem\n")
    with pytest.raises(ConfigError, match=r"key\.pem as key"):
        security_from(file)
    (tmp_path / "key.pem").touch()
    security = security_from(file)
    assert security.require_encryption
    assert security.tls_client_key == str(tmp_path / "key.pem")
    file.write_text("ca: ca.pem\n")
    with pytest.raises(ConfigError, match="ca, cert, key"):
        security_from(file)


def test_an_encrypted_scheduler_takes_who_has_the_certificates(tmp_path: Path) -> None:
    from distributed import LocalCluster
    from distributed.security import Security

    keys = Security.temporary()
    for name, content in (("ca", keys.tls_ca_file), ("cert", keys.tls_client_cert), ("key", keys.tls_client_key)):
        (tmp_path / f"{name}.pem").write_text(content)
    file = tmp_path / "tls.json"
    file.write_text('{"ca": "ca.pem", "cert": "cert.pem", "key": "key.pem"}')
    options = {"n_workers": 1, "threads_per_worker": 1, "processes": False, "dashboard_address": None}
    with LocalCluster(protocol="tls://", security=keys, **options) as encrypted:
        assert encrypted.scheduler_address.startswith("tls://")
        with connected(encrypted.scheduler_address, file) as client:
            assert list(client.nthreads().values()) == [1]
        with pytest.raises(JobError, match="no Dask scheduler to talk to"), connected(encrypted.scheduler_address):
            pass
