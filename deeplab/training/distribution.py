"""The replicas of a network that learn together: on one device, several, or several machines."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from deeplab.config.train_request import MachineSettings
from deeplab.device import choose_devices
from deeplab.errors import ConfigError, DeviceError, TrainingError

log = logging.getLogger(__name__)

Tensor = Any  # TensorFlow has no types

# What TensorFlow says when the process of another machine has ended or does not answer.
_WORKER_IS_GONE = (
    tf.errors.UnavailableError,
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
    tf.errors.InternalError,
)


def open_replicas(settings: MachineSettings) -> Replicas:
    """Return the devices that are asked for, of this machine and of the others that work with it.

    To be called before anything else of TensorFlow.

    Raises:
        DeviceError: a device is not there, or the others cannot be listened to.
    """
    devices = choose_devices(settings.gpu, settings.num_clones)
    if len(settings.workers) > 1:
        return _open_workers(settings)
    if len(devices) > 1:
        return Replicas(tf.distribute.MirroredStrategy(devices))
    return Replicas(tf.distribute.get_strategy())


def _open_workers(settings: MachineSettings) -> Replicas:
    workers, worker = settings.workers, settings.worker_index
    log.info("worker %d of %d, at %s", worker, len(workers), workers[worker])
    resolver = tf.distribute.cluster_resolver.SimpleClusterResolver(
        tf.train.ClusterSpec({"worker": list(workers)}),
        task_type="worker",
        task_id=worker,
        rpc_layer="grpc",
    )
    try:
        strategy = tf.distribute.MultiWorkerMirroredStrategy(cluster_resolver=resolver)
    except tf.errors.OpError as error:
        raise DeviceError(
            f"worker {worker} cannot work with the others at {', '.join(workers)}: is "
            f"{workers[worker]} this machine, its port free, and are all of them started?"
        ) from error
    return Replicas(strategy, worker=worker, workers=len(workers))


class Replicas:
    """The copies of a network, one on each device, and how they tell each other what they found.

    Args:
        strategy: of TensorFlow.
        worker: which machine this is.
        workers: how many machines there are.

    Attributes:
        count: of all replicas on all machines.
    """

    def __init__(
        self, strategy: tf.distribute.Strategy, *, worker: int = 0, workers: int = 1
    ) -> None:
        self._strategy, self.worker, self.workers = strategy, worker, workers
        self.count: int = strategy.num_replicas_in_sync

    @property
    def is_chief(self) -> bool:
        """Whether this machine writes what comes out of the training."""
        return self.worker == 0

    def scope(self) -> AbstractContextManager[object]:
        """Return a context; what is made in it has a copy on every device, all of equal values."""
        scope: AbstractContextManager[object] = self._strategy.scope()
        return scope

    def check_batch(self, batch_size: int, parts: int) -> None:
        """Refuse a batch that cannot be shared out equally.

        Args:
            batch_size: patches of a step, of all replicas together.
            parts: that every replica computes one after the other.

        Raises:
            ConfigError: it cannot.
        """
        if batch_size % (self.count * parts):
            raise ConfigError(
                "batch_size",
                batch_size,
                f"a multiple of {self.count * parts}, for {self.count} replicas share it"
                + (f", each in {parts} parts" if parts > 1 else ""),
            )

    def place(self, array: NDArray[Any]) -> Tensor:
        """This machine's share of a batch on its devices, in equal parts."""
        here = self.count // self.workers
        if here == 1:
            return tf.constant(array)
        pieces, first = np.split(array, here), self.worker * here
        return self._strategy.experimental_distribute_values_from_function(
            lambda context: tf.constant(pieces[context.replica_id_in_sync_group - first])
        )

    def run(self, function: Callable[..., Any], *args: Tensor) -> Any:  # noqa: ANN401
        """Return what `function` returns on every replica; to be called while a graph is traced."""
        return self._strategy.run(function, args=args)

    def any_of(self, values: Tensor) -> Tensor:
        """Return one replica's of values that are the same on all."""
        return self._strategy.experimental_local_results(values)[0]

    def assign(self, variable: Tensor, values: Tensor) -> None:
        """Give a variable the value that all replicas have found, the same on each."""
        self._strategy.extended.update(
            variable, lambda copy, value: copy.assign(value), args=(values,)
        )

    def from_chief(self, arrays: Sequence[NDArray[Any]]) -> list[NDArray[Any]]:
        """Return the chief's arrays, on every machine; all must give the same shapes and types.

        All machines wait here for each other.

        Raises:
            TrainingError: another machine is gone.
        """
        if self.workers == 1:
            return list(arrays)
        given = [tf.constant(x) if self.is_chief else tf.zeros(x.shape, x.dtype) for x in arrays]

        def added() -> list[Tensor]:
            is_first = tf.equal(replica_number(), 0)
            return [sum_over_replicas(tf.where(is_first, x, tf.zeros_like(x))) for x in given]

        with self.watched():
            found = tf.function(lambda: self.run(added), autograph=False)()
            return [self.any_of(value).numpy() for value in found]

    def text_from_chief(self, text: str) -> str:
        """Return the chief's text, on every machine. All machines wait here for each other.

        Raises:
            TrainingError: another machine is gone.
        """
        told = np.frombuffer(text.encode(), np.uint8).astype(np.int32)
        (length,) = self.from_chief([np.int32(told.size).reshape(1)])
        if not self.is_chief:
            told = np.zeros(int(length[0]), np.int32)
        (told,) = self.from_chief([told])
        return told.astype(np.uint8).tobytes().decode()

    @contextmanager
    def watched(self) -> Iterator[None]:
        """To be entered where other machines are waited for.

        Raises:
            TrainingError: one of them is gone.
        """
        try:
            yield
        except _WORKER_IS_GONE as error:
            if self.workers == 1:
                raise
            raise TrainingError(
                f"one of the {self.workers} workers is gone, so worker {self.worker} ends, too; "
                "start all of them again: the training goes on from its last checkpoint"
            ) from error


def replica_number() -> Tensor:
    """Return which of all replicas this is, from within one."""
    return tf.distribute.get_replica_context().replica_id_in_sync_group


def sum_over_replicas(values: Tensor) -> Tensor:
    """Sum of a tensor, or of each of several, over all replicas, from within one."""
    context = tf.distribute.get_replica_context()
    return context.all_reduce(tf.distribute.ReduceOp.SUM, values)


def joined_over_replicas(values: Tensor) -> Tensor:
    """Return the rows of all replicas, one's after the other's, from within one."""
    # What comes from outside of a replica is on no device of its own before it is copied.
    return tf.distribute.get_replica_context().all_gather(tf.identity(values), axis=0)
