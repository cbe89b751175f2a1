"""DICOM in steps: parse headers, describe frames, group them, lay them out in space, decode their pixels."""
