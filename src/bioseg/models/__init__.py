"""Networks; those for one's own use are names of this package: as in torchvision, they hide the modules of the same names."""

from bioseg.models.pretrained_unet import pretrained_unet
from bioseg.models.unet import unet

__all__ = ["pretrained_unet", "unet"]
