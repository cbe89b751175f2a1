"""The worker process: ``python -m napari_medseg.jobs.process``, started and spoken to by `WorkerProcess`."""

import asyncio
import contextlib
import faulthandler
import json
import os
import sys
import threading
from pathlib import Path
from typing import Any

from napari_medseg.heap import share_among_threads

THREADS = 8
"""Jobs at once: one exclusive one, and light ones beside it."""
NICENESS = 10
"""Of the worker: where the viewer has to share a core with it, painting takes nine parts of ten."""

CONFIG: dict[str, object] = {
    "logging.distributed": "error",
    "distributed.worker.profile.enabled": False,
    "distributed.worker.http.routes": [],
    "scheduler": "threads",  # a job computes its dask arrays itself and does not hand them back to the scheduler
}


def main() -> None:
    """Read where to connect from standard input and serve until that connection, or the parent, is gone."""
    faulthandler.enable()
    hello = json.loads(sys.stdin.buffer.readline())
    threading.Thread(target=_end_with_parent, name="parent-watch", daemon=True).start()
    _yield_to_the_viewer()
    # Jobs run in threads.
    share_among_threads()
    with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
        runner.run(_serve(hello))
    # A job's thread may be deep in a computation; nobody is left to wait for it.
    os._exit(0)


async def _serve(hello: dict[str, Any]) -> None:
    import dask

    dask.config.set(CONFIG)
    from distributed import Worker
    from distributed.security import Security

    from napari_medseg.jobs.envelope import TOPIC, Ready, pack

    worker = Worker(
        hello["address"],
        name=hello["name"],
        nthreads=THREADS,
        host="127.0.0.1",
        security=Security(require_encryption=True, **hello["security"]),
        memory_limit=0,
        dashboard=False,
        dashboard_address="127.0.0.1:0",
        death_timeout=60,
    )
    async with worker:
        worker.http_server.stop()
        worker.log_event(TOPIC, pack(Ready(hello["name"], worker.address), "A greeting"))
        await worker.finished()


def _end_with_parent() -> None:
    """Leave at once when the parent dies, however it dies: only it holds the other end of the pipe."""
    sys.stdin.buffer.read()
    os._exit(0)


def _yield_to_the_viewer() -> None:
    """Let the viewer's painting go first on the processor, and be the one that dies when memory runs out."""
    if sys.platform != "win32":
        os.nice(NICENESS)
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("500")


if __name__ == "__main__":
    main()
