"""The parts of the TIFF format: axes, voxel sizes, values, writer."""
