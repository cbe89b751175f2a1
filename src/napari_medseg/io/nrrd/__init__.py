"""The parts of the NRRD format: header, reader, writer."""
