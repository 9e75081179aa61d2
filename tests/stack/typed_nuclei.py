"""A model that tells two types of nuclei apart, made of the demonstration's, which knows one."""

from dataclasses import replace

import keras
import numpy as np
from scipy import ndimage

from deeplab.bundles.load import load_bundle
from deeplab.bundles.save import save_bundle
from deeplab.bundles.weights import named_weights


def write_typed_model(source, rgb, path, classes):
    """Write a model whose two types are the two kinds of nuclei that a picture has most of.

    The decoder of the types is that of the nuclei. Its last layer parts their pixels where the
    features of `rgb`, uint8 (h, w, 3), vary most: dark nuclei from pale ones, or large from small.
    """
    bundle = load_bundle(source)
    config = replace(bundle.card.config, type_count=2)
    network = bundle.family.build(config)
    learnt = named_weights(bundle.network)
    fresh = "logits.tp"
    for name, variable in named_weights(network).items():
        if not name.startswith(fresh):
            variable.assign(learnt[name.replace("decoder.tp", "decoder.np")])
    last = network.get_layer(fresh)
    seen = keras.Model(network.input, last.input).predict(rgb[None], verbose=0)[0]
    kernel, bias = (each.numpy() for each in bundle.network.get_layer("logits.np").weights)
    is_nucleus = np.argmax(seen @ kernel[0, 0] + bias, axis=-1) == 1
    pieces, count = ndimage.label(is_nucleus)
    numbers = np.arange(1, count + 1)
    means = np.stack([ndimage.mean(each, pieces, numbers) for each in np.moveaxis(seen, -1, 0)], 1)
    _, _, axes = np.linalg.svd(means - means.mean(axis=0), full_matrices=False)
    parting = axes[0]  # a pixel of a nucleus is of the type on whose side of the middle it is
    middle = float(np.median(means @ parting))
    nucleus, ground = kernel[0, 0, :, 1], kernel[0, 0, :, 0]
    last.kernel.assign(
        np.stack([ground, nucleus + parting, nucleus - parting], axis=-1)[None, None]
    )
    last.bias.assign([bias[0], bias[1] - middle, bias[1] + middle])
    save_bundle(network, replace(bundle.card, config=config, classes=classes), path)
