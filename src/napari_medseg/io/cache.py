"""Where this package keeps what it can make again."""

import os
from pathlib import Path

from platformdirs import user_cache_path

HOME_VARIABLE = "NAPARI_MEDSEG_HOME"


def cache_folder(name: str) -> Path:
    """Return a folder below the user's cache or ``NAPARI_MEDSEG_HOME``, made for this user alone."""
    home = os.environ.get(HOME_VARIABLE)
    root = Path(home).expanduser() / "cache" if home else user_cache_path("napari-medseg", appauthor=False)
    folder = root / name
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder
