"""What an image is, whatever its file is called: a hash of its pixels."""

import hashlib
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from bioseg.datasets import cases as reading
from bioseg.images.formats import RawImage
from bioseg.types import BiosegError, Case, Progress


def content_hash(raw_image: RawImage) -> str:
    """Sixteen hexadecimal digits of an image's size, type and pixels: the same for a copy in another lossless format."""
    pixels = np.ascontiguousarray(raw_image.pixels)
    digest = hashlib.sha256(f"{pixels.shape} {pixels.dtype}".encode())
    digest.update(pixels.data)
    return digest.hexdigest()[:16]


def content_hashes(cases: Sequence[Case], progress: Progress = lambda done, total: None) -> dict[str, str]:
    """:func:`content_hash` of every case by its id; images that cannot be read are left out."""
    found: dict[str, str] = {}
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        for done, (case, digest) in enumerate(zip(cases, pool.map(_hash, cases), strict=True), 1):
            if digest:
                found[case.id] = digest
            progress(done, len(cases))
    return found


def _hash(case: Case) -> str:
    try:
        return content_hash(reading.read_image(case))
    except BiosegError:
        return ""
