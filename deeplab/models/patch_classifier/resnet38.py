"""ResNet38-d (Wu et al. 2016, arXiv:1611.10080), as weak supervision from patch labels has it.

Batch norm and ReLU come before the convolutions; the shortcut's convolution takes what they give.
From the fourth block on the map keeps an eighth of the patch's side and the kernels widen instead.
"""

from __future__ import annotations

from keras import initializers, layers

from deeplab.config.patch_encoders import ResNet38Facts
from deeplab.models.layers.convolution import Norm, normalised
from deeplab.models.layers.resize import Tensor
from deeplab.models.patch_classifier.blocks import WHOLE, marked

EPSILON = 1e-5
STEM = 64  # channels
WIDENED = 5  # the block that keeps the map's size


def resnet38(x: Tensor, facts: ResNet38Facts, *, decay: float) -> Tensor:
    """Patches (n, side, side, 3), values 0 to 1, to a map (n, side/8, side/8, 4096).

    Args:
        x: the patches.
        facts: of the encoder.
        decay: of the batch norms.
    """
    norm = Norm(epsilon=EPSILON, decay=decay)
    x = _conv(x, STEM, name="backbone.conv1a", kernel=3)
    for block, (units, width) in enumerate(zip(facts.units, facts.widths, strict=True), start=2):
        for unit in range(units):
            name = f"backbone.b{block}" + (f"_{unit}" if unit else "")
            first = unit == 0
            if block < WIDENED:
                stride, rates = (2 if first else 1), (1, 1)
            else:
                stride, rates = 1, ((1 if first else 2), 2)
            x = _unit(x, width, name=name, norm=norm, stride=stride, rates=rates)
    for block, (filters, dropped) in enumerate(facts.bottlenecks, start=6):
        x = _bottleneck(x, filters, name=f"backbone.b{block}", norm=norm, dropped=dropped)
    x = normalised(x, name="backbone.bn7", norm=norm, activation="relu")  # (n, h/8, w/8, 4096)
    return marked(x, name=WHOLE)


def _unit(
    x: Tensor,
    width: tuple[int, int],
    *,
    name: str,
    norm: Norm,
    stride: int,
    rates: tuple[int, int],
) -> Tensor:
    """Return twice 3 x 3 added to the map, or to a 1 x 1 convolution of it where sizes differ."""
    inside, filters = width
    active = normalised(x, name=f"{name}.branch2a", norm=norm, activation="relu")
    if stride > 1 or x.shape[-1] != filters:
        x = _conv(active, filters, name=f"{name}.branch1", stride=stride)
    out = _conv(active, inside, name=f"{name}.branch2a", kernel=3, stride=stride, rate=rates[0])
    out = normalised(out, name=f"{name}.branch2b1", norm=norm, activation="relu")
    out = _conv(out, filters, name=f"{name}.branch2b1", kernel=3, rate=rates[1])
    return layers.Add(name=f"{name}.add")([x, out])


def _bottleneck(x: Tensor, filters: int, *, name: str, norm: Norm, dropped: float) -> Tensor:
    """Return 1 x 1, 3 x 3 and 1 x 1 added to a 1 x 1 convolution, with channels left out."""
    active = normalised(x, name=f"{name}.branch2a", norm=norm, activation="relu")
    shortcut = _conv(active, filters, name=f"{name}.branch1")
    out = _conv(active, filters // 4, name=f"{name}.branch2a")
    out = normalised(out, name=f"{name}.branch2b1", norm=norm, activation="relu")
    out = layers.SpatialDropout2D(dropped, name=f"{name}.branch2b1.dropout")(out)
    out = _conv(out, filters // 2, name=f"{name}.branch2b1", kernel=3, rate=4)
    out = normalised(out, name=f"{name}.branch2b2", norm=norm, activation="relu")
    out = layers.SpatialDropout2D(dropped, name=f"{name}.branch2b2.dropout")(out)
    out = _conv(out, filters, name=f"{name}.branch2b2")
    return layers.Add(name=f"{name}.add")([shortcut, out])


def _conv(
    x: Tensor, filters: int, *, name: str, kernel: int = 1, stride: int = 1, rate: int = 1
) -> Tensor:
    """Convolve without bias: (n, h, w, c) to (n, h/stride, w/stride, filters)."""
    left = "same"
    if stride > 1 and kernel > 1:  # both sides are padded, and not the later one alone
        x, left = layers.ZeroPadding2D(kernel // 2, name=f"{name}.pad")(x), "valid"
    return layers.Conv2D(
        filters,
        kernel,
        strides=stride,
        dilation_rate=rate,
        padding=left,
        use_bias=False,
        kernel_initializer=initializers.HeNormal(),
        name=name,
    )(x)
