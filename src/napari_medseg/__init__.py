"""Deep learning on medical images in napari."""
