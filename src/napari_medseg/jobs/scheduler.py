"""Dask's parts on this side of the connection, set up to be private, quiet and without a say in memory."""

import logging
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from distributed import Client, Scheduler
    from distributed.security import Security

HERE = "127.0.0.1"

CONFIG: dict[str, object] = {
    "distributed.admin.low-level-log-length": 8,  # it would keep the latest 1000 previews
    "distributed.scheduler.worker-ttl": None,  # the process itself is watched; a laptop may sleep
    "distributed.scheduler.idle-timeout": None,
    "distributed.scheduler.no-workers-timeout": None,
    "distributed.scheduler.preload": [],
    "distributed.scheduler.work-stealing": False,
    "distributed.scheduler.active-memory-manager.start": False,
    "distributed.scheduler.http.routes": [],
}


def encryption() -> "Security":
    """Return fresh keys that live in memory only: without them any user of this computer could run code as us."""
    from distributed.security import Security

    return cast("Security", Security.temporary())


def worker_keys(security: "Security") -> dict[str, str]:
    """Return what a worker needs to know of `security`."""
    return {name: getattr(security, name) for name in ("tls_ca_file", "tls_worker_cert", "tls_worker_key")}


def start_scheduler(security: "Security") -> "Scheduler":
    """Return a scheduler, to be entered, that listens on this computer only."""
    import dask
    from distributed import Scheduler

    hush()
    with dask.config.set(CONFIG):
        scheduler = Scheduler(
            host=HERE,
            protocol="tls",
            security=security,
            dashboard=False,
            dashboard_address=f"{HERE}:0",
            allowed_failures=0,
        )
    # Dask opens its web port, unencrypted, also without a dashboard.
    scheduler.http_server.stop()
    return scheduler


def start_client(address: str, security: "Security") -> "Client":
    """Return a client, to be entered, that leaves the user's own dask computations alone."""
    from distributed import Client

    return Client(address, security=security, asynchronous=True, set_as_default=False)


def hush() -> None:
    """Keep dask's running commentary out of the viewer's terminal, unless the user has set up its logging."""
    import dask

    if dask.config.get("logging", None) is None:
        for name in ("distributed", "distributed.client", "distributed.gc"):
            logging.getLogger(name).setLevel(logging.CRITICAL)
