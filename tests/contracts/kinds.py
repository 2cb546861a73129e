"""Every kind of file that is read."""

from tests.contracts import compressed_files, image_files, volume_files

KINDS = image_files.KINDS | compressed_files.KINDS | volume_files.KINDS
