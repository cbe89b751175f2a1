"""The napari layer: the only part that knows a graphical interface."""
