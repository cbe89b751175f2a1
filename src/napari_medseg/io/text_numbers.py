"""Voxels that are written out as text."""

import numpy as np
from numpy.typing import NDArray

from napari_medseg.errors import ReadError
from napari_medseg.io.format import ReadOptions
from napari_medseg.io.source import Source, too_short

TEXT_BLOCK_BYTES = 1 << 20


def fill_from_text(target: NDArray[np.generic], source: Source, options: ReadOptions) -> None:
    """Parse numbers that white space or commas separate."""
    if target.size > source.path.stat().st_size:
        raise too_short(source, target.size * 2, source.path.stat().st_size)
    done, rest = 0, b""
    with source.path.open("rb") as file:
        file.seek(source.offset + source.skip)
        while done < target.size:
            options.step(f"Reading {source.path.name}", done, target.size)
            block = file.read(TEXT_BLOCK_BYTES)
            words = (rest + block).replace(b",", b" ").split()
            # The last word may go on in the next block.
            rest = words.pop() if block and words and not block[-1:].isspace() else b""
            found = _numbers(words, target.dtype, source)[: target.size - done]
            target[done : done + len(found)] = found
            done += len(found)
            if not block and done < target.size:
                raise ReadError(f"{source.path.name} holds {done} of {target.size} numbers.", "Copy it again.")


def _numbers(words: list[bytes], dtype: np.dtype[np.generic], source: Source) -> NDArray[np.generic]:
    kind = np.float64 if dtype.kind == "f" else np.uint64 if dtype.kind == "u" else np.int64
    try:
        parsed = np.array([float(word) if dtype.kind == "f" else int(word) for word in words], dtype=kind)
    except (ValueError, OverflowError) as error:
        raise ReadError(f"{source.path.name}: {error}.", "The file is damaged.") from None
    if dtype.kind != "f" and parsed.size:
        allowed = np.iinfo(dtype.newbyteorder("=").name)
        if parsed.min() < allowed.min or parsed.max() > allowed.max:
            raise ReadError(f"{source.path.name} holds numbers that are no {allowed.dtype}.", "The header is wrong.")
    return parsed


def fill_from_hex(target: NDArray[np.generic], source: Source) -> None:
    """Decode two hexadecimal digits per byte."""
    possible = source.path.stat().st_size // 2
    if target.nbytes > possible:
        raise too_short(source, target.nbytes, possible)
    with source.path.open("rb") as file:
        file.seek(source.offset + source.skip)
        found = bytes.fromhex(file.read().decode("ascii"))
    if len(found) < target.nbytes:
        raise too_short(source, target.nbytes, len(found))
    target.view(np.uint8)[:] = np.frombuffer(found, np.uint8, target.nbytes)
