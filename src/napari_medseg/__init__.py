"""Deep learning on medical images in napari."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari_medseg.io import read, write

__all__ = ["read", "write"]


def __getattr__(name: str) -> object:
    """Import `read` and `write` when they are first asked for, so that the package itself costs nothing."""
    if name in __all__:
        from napari_medseg import io

        return getattr(io, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
