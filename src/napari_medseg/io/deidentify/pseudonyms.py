"""Names that stand for identifiers: the same for the same secret key, and without it impossible to trace back."""

import secrets
from dataclasses import dataclass, field
from hashlib import sha256
from hmac import digest
from pathlib import Path
from typing import Self

from napari_medseg.errors import ConfigError

KEY_BYTES = 32
STANDARD_ROOT = "1.2.840.10008."
"""UIDs below it are defined by the standard and say nothing about a patient."""


@dataclass(frozen=True)
class Pseudonyms:
    """Replacements for identifiers under one secret key."""

    key: bytes = field(default_factory=lambda: secrets.token_bytes(KEY_BYTES), repr=False)

    @classmethod
    def from_file(cls, path: Path) -> Self:
        """Return the pseudonyms of the key in a file, which is made if it does not exist.

        Raises
        ------
        ConfigError
            If the file holds no key.
        """
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch(mode=0o600)
            path.write_text(secrets.token_hex(KEY_BYTES) + "\n", encoding="ascii")
        try:
            key = bytes.fromhex(path.read_text(encoding="ascii").strip())
        except ValueError:
            key = b""
        if len(key) < KEY_BYTES:
            raise ConfigError(f"{path.name} holds no key of {KEY_BYTES} bytes.", "Name a new file: it will be made.")
        return cls(key)

    def uid(self, original: str) -> str:
        """Return the UID that stands for another; those of the standard itself stay.

        Examples
        --------
        >>> Pseudonyms(b"secret").uid("1.2.3") == Pseudonyms(b"secret").uid("1.2.3 ")
        True
        >>> Pseudonyms(b"secret").uid("1.2.840.10008.1.2.1")
        '1.2.840.10008.1.2.1'
        """
        bare = original.strip("\0 ")
        if not bare or bare.startswith(STANDARD_ROOT):
            return bare
        # The form of a random UUID below the root that the standard sets aside for them.
        number = int.from_bytes(self._digest("uid", bare)[:16], "big")
        number = number & ~(0xF << 76) & ~(0x3 << 62) | 0x4 << 76 | 0x2 << 62
        return f"2.25.{number}"

    def patient(self, original: str) -> str:
        """Return the name of a patient who has the given identifiers."""
        return f"ANON-{self._digest('patient', original).hex()[:12].upper()}"

    def short(self, original: str) -> str:
        """Return a name for a file or folder."""
        return self._digest("name", original).hex()[:12]

    def _digest(self, purpose: str, text: str) -> bytes:
        return digest(self.key, f"{purpose}\0{text}".encode(), sha256)
