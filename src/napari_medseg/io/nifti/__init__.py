"""The parts of the NIfTI format: header, voxels, writer."""
