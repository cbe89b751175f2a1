"""What is known of a model before it is fetched."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Offer:
    """A model that could be fetched."""

    name: str
    version: str
    source: str
    """Address of the file."""
    checksum: str
    """SHA-1 or SHA-256 of the file, in hexadecimal; its length says which. Empty if nobody states one."""
    description: str = ""
    licence: str = ""
    """Its name if it is a known one, else the first lines of its text; empty if none is stated."""
    licence_text: str = ""
    data_licence: str = ""
    """Terms of the data that it was trained on."""
    citation: str = ""

    def text(self) -> str:
        """Return what a user should read before it is fetched."""
        lines = [
            f"{self.name} {self.version}".strip(),
            self.description,
            f"From: {self.source}",
            f"Licence: {self.licence or 'none is stated; ask its makers before you use it'}",
            f"Training data: {self.data_licence}" if self.data_licence else "",
            f"Cite: {self.citation}" if self.citation else "",
        ]
        return "\n".join(line for line in lines if line)
