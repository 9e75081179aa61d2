"""One process of several that train the tiny network together: what it found goes to a file."""

import json
import sys
from pathlib import Path

import numpy as np
import tensorflow as tf

from deeplab.config.train_request import MachineSettings
from deeplab.data.batches import Batch
from deeplab.errors import DeeplabError
from deeplab.training.distribution import Replicas, open_replicas
from tests.training.tiny_training import D0, LARGE_SIDE, SIDE, batch, learn, trainer


def replicas(told):
    """Two and more devices are processors of this machine that TensorFlow takes for several."""
    if told["devices"] > 1:
        (cpu,) = tf.config.list_physical_devices("CPU")
        tf.config.set_logical_device_configuration(
            cpu, [tf.config.LogicalDeviceConfiguration()] * told["devices"]
        )
        names = [f"CPU:{number}" for number in range(told["devices"])]
        return Replicas(tf.distribute.MirroredStrategy(names))
    workers = tuple(told["workers"])
    return open_replicas(MachineSettings(gpu=-1, workers=workers, worker_index=told["worker"]))


def share_of(whole, own):
    """The patches of a batch that one worker learns from."""
    targets = {name: values[own] for name, values in whole.targets.items()}
    return Batch(whole.rgb[own], targets, whole.numbers[own], whole.places[own])


def main():
    told = json.loads(sys.argv[1])
    together, size = replicas(told), told["settings"]["batch_size"]
    config, side = (D0, LARGE_SIDE) if told["large"] else (None, SIDE)
    run = trainer(replicas=together, config=config, **told["settings"])
    mine = size // together.workers
    own = slice(together.worker * mine, (together.worker + 1) * mine)

    def batches():
        for number in range(told["steps"]):
            yield share_of(batch(number, size, side), own)
            Path(told["out"]).with_suffix(".begun").touch()

    done = learn(run, batches())
    shared = [together.text_from_chief(f"from {together.worker}")]
    run.state.model()
    np.savez(
        Path(told["out"]),
        losses=[d.loss for d in done],
        patch_losses=[d.losses for d in done],
        places=[d.places for d in done],
        shared=shared,
        traces=run._one_step.experimental_get_tracing_count(),
        **run.state.arrays(),
    )


if __name__ == "__main__":
    try:
        main()
    except DeeplabError as error:
        sys.exit(f"error: {error}")
