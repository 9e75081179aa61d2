"""Swin transformer (Liu et al. 2021, arXiv:2103.14030), as timm computes it."""

from __future__ import annotations

from keras import layers

from deeplab.config.patch_encoders import SwinFacts
from deeplab.models.layers.attention import (
    JoinWindows,
    MergePatches,
    SplitWindows,
    WindowAttention,
)
from deeplab.models.layers.resize import Tensor
from deeplab.models.patch_classifier.blocks import (
    WHOLE,
    dense,
    layer_norm,
    marked,
    patch_conv,
    widened,
)

EPSILON = 1e-5
PATCH = 4  # px of a token's side


def swin(x: Tensor, facts: SwinFacts) -> Tensor:
    """Patches (n, side, side, 3), normalised, to a map (n, side/32, side/32, 8 width)."""
    x = patch_conv(x, facts.width, PATCH, name="backbone.patch")
    x = layer_norm(x, name="backbone.patch.norm", epsilon=EPSILON)
    for stage, (depth, heads) in enumerate(zip(facts.depths, facts.heads, strict=True)):
        name = f"backbone.stage{stage}"
        if stage:
            channels = int(x.shape[-1])
            x = MergePatches(name=f"{name}.merge")(x)
            x = layer_norm(x, name=f"{name}.merge.norm", epsilon=EPSILON)
            x = dense(x, 2 * channels, name=f"{name}.merge.reduce", bias=False)
        for index in range(depth):
            x = _block(x, heads, facts.window, index % 2, name=f"{name}.block_{index}")
    return marked(layer_norm(x, name="backbone.norm", epsilon=EPSILON), name=WHOLE)


def _block(x: Tensor, heads: int, window: int, odd: int, *, name: str) -> Tensor:
    """Attention in windows, moved by half of one in every second block; then a wide layer."""
    _, height, width, channels = x.shape
    side = min(window, height, width)
    # A map of one window has nothing to be moved.
    shift = side // 2 if odd and min(height, width) > side else 0
    cut = {"height": height, "width": width, "window": side, "shift": shift}
    out = layer_norm(x, name=f"{name}.norm1", epsilon=EPSILON)
    out = SplitWindows(**cut, name=f"{name}.split")(out)
    out = dense(out, 3 * channels, name=f"{name}.qkv")
    out = WindowAttention(heads, **cut, name=f"{name}.attention")(out)
    out = dense(out, channels, name=f"{name}.proj")
    out = JoinWindows(**cut, name=f"{name}.join")(out)
    x = layers.Add(name=f"{name}.add1")([x, out])
    out = layer_norm(x, name=f"{name}.norm2", epsilon=EPSILON)
    return layers.Add(name=f"{name}.add2")([x, widened(out, name=name)])
