"""Lungs in chest X-rays as published, the enhanced U-Net on images equalised by CLAHE."""

from dataclasses import replace

from bioseg.images import prepare
from bioseg.recipes import cxr_enhanced_reference
from bioseg.specs import call

RECIPE = replace(
    cxr_enhanced_reference.RECIPE,
    name="cxr-enhanced-clahe-reference",
    purpose="reproduces the published enhanced U-Net with CLAHE; needs a GPU, or --set network.encoder=lite0",
    preparation=replace(
        cxr_enhanced_reference.RECIPE.preparation,
        intensity=(call(prepare.min_max), call(prepare.clahe, clip_limit=3.0, tiles=8)),
    ),
)
