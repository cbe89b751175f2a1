"""The connection to a Dask scheduler that is not ours."""

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from napari_medseg.errors import ConfigError, JobError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from distributed import Client
    from distributed.security import Security

CONNECT_SECONDS = 20
ENTRIES = ("ca", "cert", "key")


@contextmanager
def connected(address: str, tls: Path | None = None) -> "Iterator[Client]":
    """Yield a client of a scheduler; an error of the connection becomes a `JobError`.

    Parameters
    ----------
    address : str
        Such as ``tcp://host:8786``, or ``tls://host:8786``.
    tls : Path, optional
        File that names the certificates; see `security_from`. Without it, Dask's own configuration counts.
    """
    from distributed import Client
    from distributed.comm.core import CommClosedError

    security = None if tls is None else security_from(tls)
    try:
        client = Client(address, security=security, timeout=CONNECT_SECONDS, set_as_default=False)
    except (OSError, ValueError, TypeError, RuntimeError) as error:
        raise JobError(
            f"There is no Dask scheduler to talk to at {address} ({_text(error)}).",
            "Check the address; an address that begins with tls:// needs certificates.",
        ) from error
    with client:
        try:
            yield client
        except CommClosedError as error:
            raise JobError(
                f"The connection to {address} was lost ({_text(error)}).",
                "Give the same command again: what is done is not done again.",
            ) from error


def security_from(path: Path) -> "Security":
    """Return what a YAML or JSON file says about encryption.

    Parameters
    ----------
    path : Path
        With the entries ``ca``, ``cert`` and ``key``: paths of PEM files, relative to the file.

    Raises
    ------
    ConfigError
        If it is not such a file, or a file that it names is not there.
    """
    import yaml
    from distributed.security import Security

    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"{path} cannot be read ({_text(error)}).", "It must be a YAML or JSON file.") from error
    if not isinstance(content, dict) or set(content) != set(ENTRIES):
        raise ConfigError(f"{path} must have the entries {', '.join(ENTRIES)}.", "Each is the path of a PEM file.")
    places = {name: path.absolute().parent / str(content[name]) for name in ENTRIES}
    for name, place in places.items():
        if not place.is_file():
            raise ConfigError(f"{path} names {place} as {name}, which is not there.", "Check the path.")
    return Security(
        tls_ca_file=str(places["ca"]),
        tls_client_cert=str(places["cert"]),
        tls_client_key=str(places["key"]),
        require_encryption=True,
    )


def _text(error: BaseException) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:200]
