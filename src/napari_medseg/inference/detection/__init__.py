"""Finding boxes on images of any size."""
