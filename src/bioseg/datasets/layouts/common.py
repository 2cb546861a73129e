"""What the modules of the public sets share."""

from pathlib import Path

from bioseg.types import BiosegError


class OtherLayoutError(BiosegError):
    """The folder does not have this layout; it may have another one, or be a plain folder of images and masks."""


def root_with(folder: Path, pattern: str, top: str) -> Path:
    """``folder``, or the archive's own top folder in it, whichever holds files of that pattern.

    Raises:
        OtherLayoutError: Neither does; the message names the pattern.
    """
    for root in (folder / top, folder):
        if next(root.glob(pattern), None):
            return root
    raise OtherLayoutError(f"{folder}: no {pattern} here; give the unpacked folder {top}")
