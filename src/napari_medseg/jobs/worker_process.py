"""Starts, watches and ends the worker process."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable


class WorkerProcess:
    """A worker as a plain child process.

    Neither `multiprocessing` nor dask's own nanny is used: they import the caller's ``__main__`` again in the child,
    which would run a script that opens napari a second time.

    Parameters
    ----------
    name : str
        Its name at the scheduler.
    address : str
        Of the scheduler.
    security : dict of str
        Certificate and keys in PEM format; they are never written to disk.
    on_exit : callable
        Called from a thread of its own when the process is gone.
    """

    def __init__(self, name: str, address: str, security: dict[str, str], on_exit: Callable[[], None]) -> None:
        self.name = name
        self.address: str | None = None
        self._last_words: deque[str] = deque(maxlen=60)
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "napari_medseg.jobs.process"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(entry or os.getcwd() for entry in sys.path)},
            # Ctrl-C in the terminal is for the viewer; it tells the worker what to do.
            start_new_session=sys.platform != "win32",
            creationflags=_creation_flags(),
        )
        self._send({"name": name, "address": address, "security": security})
        threading.Thread(target=self._listen, name=f"{name}-output", daemon=True).start()
        threading.Thread(target=self._watch, args=(on_exit,), name=f"{name}-watch", daemon=True).start()

    @property
    def pid(self) -> int:
        """Number of the process."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return self._process.poll() is None

    @property
    def last_words(self) -> str:
        """What it wrote last to its standard output and error."""
        return "".join(self._last_words)

    def kill(self) -> None:
        """End the process and what it started, at once."""
        with contextlib.suppress(OSError):
            if sys.platform == "win32":
                self._process.kill()
            else:
                os.killpg(self._process.pid, signal.SIGKILL)

    def fate(self) -> str:
        """Return how it ended, as the end of a sentence: "was killed (SIGKILL)"."""
        code = self._process.wait()
        if code >= 0:
            return f"ended with exit code {code}"
        name = signal.Signals(-code).name
        verb = "was killed" if name in ("SIGKILL", "SIGTERM") else "crashed"
        return f"{verb} ({name})"

    def _send(self, hello: dict[str, object]) -> None:
        # The pipe stays open: its end is how the worker learns that we are gone.
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):
            self._process.stdin.write(json.dumps(hello).encode() + b"\n")
            self._process.stdin.flush()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as output:
            for line in output:
                self._last_words.append(line.decode(errors="replace"))

    def _watch(self, on_exit: Callable[[], None]) -> None:
        self._process.wait()
        with contextlib.suppress(OSError):
            if self._process.stdin is not None:
                self._process.stdin.close()
        on_exit()


def _creation_flags() -> int:
    if sys.platform == "win32":
        below = subprocess.BELOW_NORMAL_PRIORITY_CLASS
        return subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW | below
    return 0
