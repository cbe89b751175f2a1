"""How an engine begins and ends, and what it leaves open."""

import socket
import ssl
import sys
import time
from pathlib import Path

import pytest
from job_helpers import LIMIT, heard, in_state, submit, until

from napari_medseg.errors import JobError
from napari_medseg.jobs import LocalEngine


class TestLife:
    def test_start_returns_at_once_and_jobs_queue(self) -> None:
        engine = LocalEngine(warm_up=False)
        begun = time.monotonic()
        engine.start()
        job = submit(engine, "count", notes=1)
        assert time.monotonic() - begun < 0.2
        assert (job.state, engine.ready) == ("waiting", False)
        assert job.outcome(LIMIT) == 1
        assert engine.ready
        engine.close()

    def test_close_cancels_ends_the_worker_and_refuses_more(self) -> None:
        engine = LocalEngine(warm_up=False)
        running = submit(engine, "steps", n=1000, seconds=0.01)
        waiting = submit(engine, "count", notes=1)
        until(in_state(running, "running"))
        begun = time.monotonic()
        engine.close()
        engine.close()
        assert time.monotonic() - begun < 3
        assert (running.state, waiting.state, engine.worker_pid) == ("cancelled", "cancelled", None)
        with pytest.raises(JobError, match="closed"):
            submit(engine, "count", notes=1)

    def test_close_does_not_wait_for_a_job_that_does_not_stop(self) -> None:
        engine = LocalEngine(warm_up=False)
        job = submit(engine, "ignore_everything")
        until(heard(job, "deaf"))
        engine.close(grace_seconds=0.2)
        assert (job.state, engine.worker_pid) == ("cancelled", None)

    def test_close_before_start(self) -> None:
        engine = LocalEngine()
        engine.close()
        assert engine.closed

    def test_close_while_starting(self) -> None:
        engine = LocalEngine(warm_up=False)
        job = submit(engine, "count", notes=1)
        engine.close()
        assert job.state == "cancelled"

    @pytest.mark.skipif(sys.platform == "win32", reason="needs a shell script")
    def test_a_worker_that_cannot_start_fails_the_jobs_with_its_words(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        engine = LocalEngine(warm_up=False)
        python = tmp_path / "python"
        python.write_text("#!/bin/sh\necho libcudart.so is missing\nexit 3\n")
        python.chmod(0o755)
        with monkeypatch.context() as broken:
            broken.setattr(sys, "executable", str(python))
            with pytest.raises(JobError, match=r"cannot start: .* exit code 3\. libcudart\.so is missing") as caught:
                submit(engine, "count", notes=1).outcome(LIMIT)
            assert caught.value.remedy
        assert submit(engine, "count", notes=1).outcome(LIMIT) == 1
        engine.close()

    def test_the_worker_warms_up_by_itself(self) -> None:
        engine = LocalEngine()
        engine.start()
        deadline = time.monotonic() + LIMIT
        while not submit(engine, "loaded", exclusive=False, module="torch").outcome(LIMIT):
            assert time.monotonic() < deadline
            time.sleep(0.2)
        engine.close()


def test_nothing_listens_but_the_two_ends_of_the_encrypted_connection(engine: LocalEngine) -> None:
    psutil = pytest.importorskip("psutil")
    pid, _main = submit(engine, "where").outcome(LIMIT)  # type: ignore[misc]
    assert engine.scheduler_address is not None
    for process, known in [(psutil.Process(), engine.scheduler_address), (psutil.Process(pid), None)]:
        ports = [c.laddr for c in process.net_connections("tcp") if c.status == psutil.CONN_LISTEN]
        assert {address.ip for address in ports} == {"127.0.0.1"}
        assert len(ports) == 1
        assert known is None or known.endswith(f":{ports[0].port}")


def test_the_port_is_closed_to_others(engine: LocalEngine) -> None:
    submit(engine, "count", notes=1).outcome(LIMIT)
    host, port = engine.scheduler_address.removeprefix("tls://").split(":")
    assert host == "127.0.0.1"
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with socket.create_connection((host, int(port)), timeout=5) as plain:
        try:
            with context.wrap_socket(plain) as encrypted:
                answer = encrypted.recv(1)
        except (ssl.SSLError, ConnectionError):
            answer = b""
    assert answer == b""
