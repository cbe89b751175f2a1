"""The parts of the MetaImage format: header, writer."""
