"""State dicts of segmentation_models_pytorch of small decoders, with values by their places."""

import numpy as np

from deeplab.bundles.importers.smp_state import state_entries
from deeplab.config.channels import named_channels
from deeplab.config.skip_decoder import SkipDecoderConfig
from deeplab.config.unet import UNetConfig
from deeplab.config.unetplusplus import UNetPlusPlusConfig

SMALL = {
    "label_count": 3,
    "backbone": "resnet_18",
    "depth": 3,
    "decoder_channels": (16, 16, 16),
    "normalisation": "zero_to_one",
}
PLAIN = UNetConfig(**SMALL)
NESTED = UNetPlusPlusConfig(**SMALL)
GATED = UNetConfig(
    **SMALL | {"label_count": 2, "backbone": "efficientnet_b0", "decoder_channels": (32, 16, 16)},
    attention="scse",
    head="sigmoid",
    channels=named_channels(("channel 1", "channel 2")),
)
LITE = UNetConfig(**SMALL | {"backbone": "timm_efficientnet_lite0"})
EACH = (PLAIN, NESTED, GATED, LITE)


def state_of(config: SkipDecoderConfig) -> dict[str, np.ndarray]:
    """Every entry of the library's state dict of a network, in order."""
    rng = np.random.default_rng(0)
    return {
        entry.name: rng.uniform(0.01, 0.02, entry.shape).astype(np.float32)
        if entry.weight
        else np.array(1, np.int64)
        for entry in state_entries(config)
    }
