"""The methods there are, found by walking `napari_medseg.explain.kinds`. Importing this loads no torch."""

from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pkgutil import iter_modules
from typing import TYPE_CHECKING

from napari_medseg.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch

    from napari_medseg.explain.question import Question


@dataclass(frozen=True)
class Method:
    """A way to explain."""

    name: str
    """As on the command line."""
    title: str
    """As shown to the user."""
    about: str
    """What the map says, in a sentence."""
    attribute: "Callable[[Question], torch.Tensor]"
    """The map of a question, (map, ...) over the axes of its image; several maps are channels or features."""
    passes: "Callable[[Question], int]"
    """About how many images go through the network."""
    signed: bool
    """Whether the map tells what speaks against the class from what speaks for it."""
    hides: bool = False
    """Whether it hides parts of the image many times, so that it takes long; it needs no look into the network."""
    uses: tuple[str, ...] = ()
    """Fields of `ExplainOptions` that it depends on, beside those that all do."""


_REGISTERED: dict[str, Method] = {}


def register(method: Method) -> None:
    """Make a method known.

    Raises
    ------
    ValueError
        If another one has its name.
    """
    if method.name in _REGISTERED:
        raise ValueError(f"there are two methods named {method.name!r}")
    _REGISTERED[method.name] = method


@cache
def _discover() -> None:
    from napari_medseg.explain import kinds

    for module in iter_modules(kinds.__path__, prefix=f"{kinds.__name__}."):
        import_module(module.name)


def methods() -> tuple[Method, ...]:
    """Return all methods, by name."""
    _discover()
    return tuple(_REGISTERED[name] for name in sorted(_REGISTERED))


def method_named(name: str) -> Method:
    """Return the method of a name.

    Raises
    ------
    ConfigError
        If there is none.
    """
    _discover()
    if name not in _REGISTERED:
        raise ConfigError(f"There is no method {name!r}.", f"Known are {', '.join(sorted(_REGISTERED))}.")
    return _REGISTERED[name]
