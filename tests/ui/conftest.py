"""Every test of the window must take its widgets with it."""

import gc
from collections.abc import Iterator

import pytest
from qtpy.QtCore import QCoreApplication, QEvent
from qtpy.QtWidgets import QApplication, QMenu


def windows() -> set[str]:
    """Return a description of each widget without a parent; menus are left out, because Qt keeps them with no owner."""
    if QApplication.instance() is None:
        return set()
    # What was told to go, goes now.
    QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
    found = [widget for widget in QApplication.topLevelWidgets() if not isinstance(widget, QMenu)]
    return {f"{type(widget).__name__} {widget.objectName()!r} at {id(widget):#x}" for widget in found}


@pytest.fixture(autouse=True)
def _no_widget_is_left_behind() -> Iterator[None]:
    before = windows()
    yield
    if left := windows() - before:
        # Slow, so only where it matters: what is held by nothing but a reference cycle may go as well.
        gc.collect()
        left = windows() - before
    assert not left, f"widgets that outlive the test: {sorted(left)}"
