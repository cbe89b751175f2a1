"""Callbacks on napari's objects that end with the Qt widget that asked for them."""

import weakref
from collections.abc import Callable
from functools import partial
from typing import Protocol

from qtpy.QtCore import QObject


class Emitter(Protocol):
    """What napari's events and psygnal's signals share."""

    def connect(self, callback: Callable[..., object], /) -> object:
        """Call back on every event."""

    def disconnect(self, callback: Callable[..., object], /) -> object:
        """Stop calling back."""


class Connections:
    """A set of connections, ended together, at the latest when their owner is destroyed.

    napari holds bound methods weakly, but Qt may destroy a widget whose Python object lives on, and a callback on it
    would then fail.

    Parameters
    ----------
    owner : QObject
        Whose methods are the callbacks.
    """

    def __init__(self, owner: QObject) -> None:
        self._made: list[tuple[Emitter, weakref.WeakMethod[Callable[..., object]]]] = []
        owner.destroyed.connect(partial(Connections.close, self))

    def connect(self, emitter: Emitter, callback: Callable[..., object]) -> None:
        """Call the bound method `callback` on every event of `emitter`."""
        emitter.connect(callback)
        self._made.append((emitter, weakref.WeakMethod(callback)))

    def close(self, _object: object = None) -> None:
        """End all connections; new ones may be made."""
        made, self._made = self._made, []
        for emitter, reference in made:
            if (callback := reference()) is not None:
                emitter.disconnect(callback)
