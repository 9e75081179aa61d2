"""A family of networks that find objects, as small as one can be: it shows what the trainer serves.

It answers for the middle of a patch, has three outputs and four terms of loss, and needs to know
objects one by one.
"""

from dataclasses import dataclass
from itertools import pairwise

import keras
import numpy as np
from keras import layers, ops
from scipy import ndimage

from deeplab.config.channels import RGB
from deeplab.config.classes import IGNORE
from deeplab.geometry.tiling import Tiling
from deeplab.models.answers import ObjectAnswer, TileReading
from deeplab.models.family import Family

MARGIN = 4  # of two convolutions of 5 pixels without padding
NAME = "toy_objects"


@dataclass(frozen=True, slots=True, kw_only=True)
class ToyConfig:
    """See `NetworkConfig`."""

    class_count: int
    crop_size: int = 48

    @property
    def background(self):
        return True

    @property
    def channels(self):
        return RGB

    @property
    def tiling(self):
        # A reach of an object's radius: its tile sees it whole.
        return Tiling(multiple=4, extra=0, reach=20, logit_stride=1, margin=MARGIN)

    @property
    def backbone(self):
        return None

    @property
    def least_weight_count(self):
        return 1

    @classmethod
    def from_settings(cls, settings, classes):
        return cls(class_count=len(classes), crop_size=settings.patch_size)

    @staticmethod
    def suggested_patch_size(_settings):
        return 48

    def describe(self):
        return "a toy"


def build(config):
    """Three maps of the middle: inside (2), way to the object's middle (2), type (classes + 1)."""
    rgb = keras.Input((None, None, 3), dtype="uint8", name="rgb")
    x = layers.Rescaling(1 / 127.5, offset=-1.0, name="normalisation")(rgb)
    for number in range(2):
        x = layers.Conv2D(16, 5, use_bias=False, name=f"conv_{number}")(x)
        x = layers.BatchNormalization(momentum=0.9, name=f"norm_{number}")(x)
        x = layers.ReLU(name=f"relu_{number}")(x)
    channels = {"inside": 2, "way": 2, "type": config.class_count + 1}
    maps = {
        name: layers.Activation("linear", dtype="float32", name=name)(
            layers.Conv2D(count, 1, name=f"{name}_logits")(x)
        )
        for name, count in channels.items()
    }
    return keras.Model(rgb, maps, name=NAME)


def encode(_, truth):
    """Targets of the middle; the way is in units of 10 pixels."""
    middle = slice(MARGIN, -MARGIN)
    instances, labels = truth["instances"], truth["labels"]
    inside = np.where((labels == IGNORE) & (instances == 0), IGNORE, instances > 0)
    numbers = np.unique(instances[instances > 0])
    centres = np.zeros((int(instances.max()) + 1, 2), np.float32)
    if numbers.size:
        centres[numbers] = ndimage.center_of_mass(instances > 0, instances, numbers)
    way = (centres[instances] - np.stack(np.indices(instances.shape), axis=-1)) / 10
    way[instances == 0] = 0
    return {
        "inside": inside.astype(np.uint8)[middle, middle],
        "way": way.astype(np.float32)[middle, middle],
        "type": labels[middle, middle],
    }


def _total(x):
    return ops.sum(x, axis=tuple(range(1, len(x.shape))))


def _known(labels):
    return ops.cast(ops.not_equal(labels, IGNORE), "float32")


def _entropy(labels, logits):
    plain = ops.where(ops.equal(labels, IGNORE), 0, ops.cast(labels, "int32"))
    entropy = ops.sparse_categorical_crossentropy(plain, logits, from_logits=True)
    return _total(entropy * _known(labels))


class ToyLoss:
    """Cross entropies, a Dice of each patch, and squares inside of objects only."""

    terms = ("inside CE", "inside Dice", "way MSE", "type CE")

    def describe(self):
        return ""

    def weights(self, targets, _):
        inside = ops.cast(ops.equal(targets["inside"], 1), "float32")
        return ops.stack(
            [
                _total(_known(targets["inside"])),
                ops.max(inside, axis=(1, 2)),
                _total(inside),
                _total(_known(targets["type"])),
            ],
            axis=-1,
        )

    def errors(self, targets, maps, _):
        truth = ops.cast(ops.equal(targets["inside"], 1), "float32")
        known = _known(targets["inside"])
        guess = ops.softmax(ops.cast(maps["inside"], "float32"))[..., 1] * known
        overlap = (2 * _total(guess * truth) + 1) / (_total(guess + truth) + 1)
        squares = ops.sum(ops.square(maps["way"] - targets["way"]), axis=-1)
        return ops.stack(
            [
                _entropy(targets["inside"], maps["inside"]),
                (1 - overlap) * ops.max(truth, axis=(1, 2)),
                _total(squares * truth),
                4 * _entropy(targets["type"], maps["type"]),  # or it would be learnt last
            ],
            axis=-1,
        )


def predictor(network, *, tile=None, maps=(), views=()):
    return network


def decode(config, maps):
    """Objects are what hangs together, of the type that most of their pixels have."""
    inside = maps["inside"].argmax(axis=-1) == 1
    instances, count = ndimage.label(inside)
    types = maps["type"][..., 1:].argmax(axis=-1) + 1
    votes = [np.bincount(types[instances == n]).argmax() for n in range(1, count + 1)]
    return ObjectAnswer(
        instances=instances.astype(np.int32),
        labels=np.array(votes, np.uint8),
        confidence=np.ones(count, np.float32),
    )


FAMILY = Family(
    name=NAME,
    config=ToyConfig,
    needs=frozenset({"labels", "instances"}),
    reading=TileReading("objects", decode),
    build=build,
    encode=encode,
    loss=lambda *_: ToyLoss(),
    predictor=predictor,
    head_layers=("inside_logits", "way_logits", "type_logits"),
    logit_layers=("type_logits",),
)


def paint(random, side, step=40):
    """Discs of two colours on a grid: RGB (side, side, 3), and their outlines by type."""
    rgb = np.full((side, side, 3), (235, 200, 215), float)
    rows, columns = np.ogrid[:side, :side]
    outlines = []
    for y in range(step // 2, side, step):
        for x in range(step // 2, side, step):
            cy, cx = np.array([y, x]) + random.uniform(-6, 6, 2)
            radius, kind = random.uniform(8, 12), int(random.integers(2))
            disc = (rows + 0.5 - cy) ** 2 + (columns + 0.5 - cx) ** 2 < radius**2
            rgb[disc] = ((200, 50, 60), (60, 50, 200))[kind]
            turns = np.linspace(0, 2 * np.pi, 33)
            ring = np.column_stack([cx + radius * np.cos(turns), cy + radius * np.sin(turns)])
            outlines.append(("ab"[kind], ring.round(3).tolist()))
    assert all(one[1] != other[1] for one, other in pairwise(outlines))
    return np.clip(rgb + random.normal(0, 6, rgb.shape), 0, 255).astype(np.uint8), outlines
