"""What happens between whole processes: a script that uses the engine, and its worker."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="uses POSIX signals")

HEAD = f"""
import sys, time
sys.path.append({str(Path(__file__).parent)!r})
from napari_medseg.jobs import LocalEngine, Work
engine = LocalEngine(warm_up=False)
"""


def run(tmp_path: Path, body: str) -> subprocess.CompletedProcess[str]:
    script = tmp_path / "script.py"
    script.write_text(HEAD + body)
    return subprocess.run([sys.executable, "-W", "error", str(script)], capture_output=True, text=True, timeout=60)


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    status = Path(f"/proc/{pid}/stat")
    return not (status.exists() and status.read_text().rpartition(")")[2].split()[0] == "Z")


def gone(pid: int, seconds: float = 10) -> bool:
    deadline = time.monotonic() + seconds
    while alive(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not alive(pid)


def test_a_script_without_main_guard_is_not_run_again_by_the_worker(tmp_path: Path) -> None:
    log = tmp_path / "log"
    done = run(
        tmp_path,
        f"open({str(log)!r}, 'a').write('run\\n')\n"
        "pid, main = engine.submit(Work('job_targets:where')).outcome(60)\n"
        "print(main)\n",
    )
    assert done.returncode == 0, done.stderr
    assert log.read_text() == "run\n"
    assert "script.py" not in done.stdout


def test_leaving_without_close_is_quick_quiet_and_takes_the_worker_along(tmp_path: Path) -> None:
    begun = time.monotonic()
    done = run(
        tmp_path,
        "assert engine.submit(Work('job_targets:count', {'notes': 3})).outcome(60) == 3\nprint(engine.worker_pid)\n",
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert gone(int(done.stdout))
    assert time.monotonic() - begun < 15


def test_leaving_in_the_middle_of_a_job_is_quiet(tmp_path: Path) -> None:
    done = run(
        tmp_path,
        "job = engine.submit(Work('job_targets:steps', {'n': 10000, 'seconds': 0.01}))\n"
        "next(e for e in job.events(60) if 'running' in str(e))\n"
        "print(engine.worker_pid)\n",
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert gone(int(done.stdout))


def test_leaving_right_after_start_is_quiet(tmp_path: Path) -> None:
    done = run(tmp_path, "engine.start()\n")
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("function", ["steps', {'n': 10000, 'seconds': 0.01}", "ignore_everything', {}"])
def test_the_worker_dies_with_a_viewer_that_is_killed(tmp_path: Path, function: str) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        HEAD + f"job = engine.submit(Work('job_targets:{function}))\n"
        "next(e for e in job.events(60) if 'running' in str(e))\n"
        "print(engine.worker_pid, flush=True)\ntime.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True) as viewer:
        assert viewer.stdout is not None
        worker = int(viewer.stdout.readline())
        assert alive(worker)
        viewer.send_signal(signal.SIGKILL)
        assert gone(worker)


def test_ctrl_c_in_the_terminal_leaves_the_worker_to_the_viewer(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        HEAD + "job = engine.submit(Work('job_targets:clean_up_slowly', {'seconds': 0.2}))\n"
        "next(e for e in job.events(60) if 'running' in str(e))\n"
        "try:\n    print('ready', flush=True)\n    job.wait()\n"
        "except KeyboardInterrupt:\n    job.cancel()\n    job.wait(20)\n    print(job.state)\n"
    )
    with subprocess.Popen(
        [sys.executable, str(script)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # a terminal's programs hear interrupts, also where these tests run in the background
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as viewer:
        assert viewer.stdout is not None
        viewer.stdout.readline()
        os.killpg(viewer.pid, signal.SIGINT)
        out, err = viewer.communicate(timeout=30)
    assert (out.strip(), err) == ("cancelled", "")
