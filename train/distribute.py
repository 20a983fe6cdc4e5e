"""One training on several devices or machines: the same steps, each picture of a batch seen by one of them.

``batch`` is the batch of all of them together, so that a run means the same however it is spread. Only
:class:`Replicas` needs TensorFlow; on one device every Keras backend will do.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import numpy.typing as npt

from app.core.errors import UnmaskError
from app.core.records import ImageU8

if TYPE_CHECKING:
    import keras

KINDS = ("none", "mirrored", "multi-worker")
T = TypeVar("T")
Step = Callable[[ImageU8, npt.NDArray[np.float32]], float]
Forward = Callable[[ImageU8], Any]


class Devices:
    """One process and the device that Keras chooses.

    Attributes:
        worker: number of this process, [0, workers).
        workers: processes that train together; each makes its own part of every batch.
    """

    worker, workers = 0, 1

    @property
    def chief(self) -> bool:
        """Whether this process writes checkpoints, logs and models; the others only compute."""
        return self.worker == 0

    def scope(self) -> AbstractContextManager[Any]:
        """Within it models and optimizers are made and loaded."""
        return nullcontext()

    def step(self, model: keras.Model) -> Step:
        """A training step of the compiled ``model``: this worker's part of a batch -> the mean loss of all.

        Crops are uint8 (N, H, W, 3), targets float32 (N, 1). Ask again after the model was compiled anew.
        """
        return lambda crops, targets: float(model.train_on_batch(crops, targets))

    def forward(self, model: keras.Model) -> Forward:
        """Inference in this process alone: crops uint8 (N, H, W, 3) -> float32 (N, 1)."""
        predict: Forward = model.predict_on_batch
        return predict

    def from_chief(self, value: float) -> float:
        """The chief's ``value``, in every process; all have to ask."""
        return value

    def chief_first(self, work: Callable[[], T]) -> T:
        """What ``work`` returns, begun by the others when the chief is done: they find the files it wrote.

        Raises:
            UnmaskError: the chief failed.
        """
        return work()


class Replicas(Devices):
    """The replicas of a ``tf.distribute`` strategy, in ``workers`` processes.

    Keras's ``train_on_batch`` would give every replica the whole batch, and fails to reduce the loss under
    MultiWorkerMirroredStrategy (keras-team/keras#20585). Its ``train_step`` works under both: gradients are averaged
    over the replicas, and every replica takes the same step.
    """

    def __init__(self, strategy: Any, worker: int = 0, workers: int = 1) -> None:
        self._strategy = strategy
        self.worker, self.workers = worker, workers

    @property
    def count(self) -> int:
        """Replicas in all processes together."""
        return int(self._strategy.num_replicas_in_sync)

    def scope(self) -> AbstractContextManager[Any]:
        scope: AbstractContextManager[Any] = self._strategy.scope()
        return scope

    def step(self, model: keras.Model) -> Step:
        import tensorflow as tf

        strategy = self._strategy
        local = self.count // self.workers

        @tf.function  # type: ignore[untyped-decorator]
        def together(batch: Any) -> Any:
            losses = strategy.run(model.train_step, args=(batch,))["loss"]
            return strategy.reduce(tf.distribute.ReduceOp.MEAN, losses, axis=None)

        def step(crops: ImageU8, targets: npt.NDArray[np.float32]) -> float:
            def part(context: Any) -> Any:
                rows = slice(
                    len(crops) * (context.replica_id_in_sync_group % local) // local,
                    len(crops) * (context.replica_id_in_sync_group % local + 1) // local,
                )
                return tf.constant(crops[rows]), tf.constant(targets[rows])

            # Keras keeps a running mean of the loss; this step's alone is asked for.
            model.reset_metrics()
            try:
                return float(together(strategy.experimental_distribute_values_from_function(part)))
            except (tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.CancelledError) as error:
                raise UnmaskError(
                    f"another worker stopped ({str(error).splitlines()[0]}); start all of them again to go on"
                ) from None

        return step

    def forward(self, model: keras.Model) -> Forward:
        import tensorflow as tf

        # Outside strategy.run: predict_on_batch would wait for the other workers.
        return tf.function(lambda crops: model(crops, training=False), reduce_retracing=True)  # type: ignore[no-any-return]

    def from_chief(self, value: float) -> float:
        import tensorflow as tf

        if self.workers == 1:
            return value
        values = self._strategy.experimental_distribute_values_from_function(
            lambda context: tf.constant(value if context.replica_id_in_sync_group == 0 else 0.0, tf.float64)
        )
        return float(self._strategy.reduce(tf.distribute.ReduceOp.SUM, values, axis=None))

    def chief_first(self, work: Callable[[], T]) -> T:
        if not self.chief:
            if not self.from_chief(0.0):
                raise UnmaskError("the first worker failed; see what it says")
            return work()
        try:
            result = work()
        except BaseException:
            self.from_chief(0.0)
            raise
        self.from_chief(1.0)
        return result


def connect(kind: str, batch: int) -> Devices:
    """The devices that a training runs on, one of :data:`KINDS`.

    ``mirrored`` takes all GPUs of this machine, ``multi-worker`` those of all processes that TF_CONFIG names. To be
    called before TensorFlow did anything else.

    Args:
        batch: pictures a step, of all devices together.

    Raises:
        UnmaskError: another backend is chosen, TF_CONFIG is missing or wrong, or the batch cannot be shared evenly.
    """
    if kind == "none":
        return Devices()
    if kind not in KINDS:
        raise UnmaskError(f"--distribute {kind}: not known; choose one of {', '.join(KINDS)}")
    if os.environ.get("KERAS_BACKEND", "tensorflow") != "tensorflow":
        raise UnmaskError(f"--distribute {kind} needs Keras's TensorFlow backend; unset KERAS_BACKEND")
    devices = _mirrored() if kind == "mirrored" else _multi_worker()
    if isinstance(devices, Replicas) and batch % devices.count:
        raise UnmaskError(f"--batch {batch} cannot be shared by {devices.count} devices; give a multiple of that")
    return devices


def task(text: str | None) -> tuple[int, int]:
    """This process's number and how many there are, by a TF_CONFIG; the one called chief comes first.

    Raises:
        UnmaskError: it is missing or does not say.
    """
    example = '{"cluster": {"worker": ["host1:port", "host2:port"]}, "task": {"type": "worker", "index": 0}}'
    if not text:
        raise UnmaskError(f"--distribute multi-worker: TF_CONFIG is not set; give each worker its own, as {example}")
    try:
        config = json.loads(text)
        cluster, own = config["cluster"], config["task"]
        members = [("chief", i) for i in range(len(cluster.get("chief", ())))]
        members += [("worker", i) for i in range(len(cluster.get("worker", ())))]
        return members.index((own["type"], int(own["index"]))), len(members)
    except (ValueError, KeyError, TypeError, AttributeError):
        raise UnmaskError(f"TF_CONFIG does not name this worker in a cluster; write it as {example}") from None


def _mirrored() -> Devices:
    import tensorflow as tf

    devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
    return Replicas(tf.distribute.MirroredStrategy([d.name for d in devices])) if len(devices) > 1 else Devices()


@cache  # A process joins one cluster, and only once.
def _multi_worker() -> Devices:
    worker, workers = task(os.environ.get("TF_CONFIG"))
    import tensorflow as tf

    return Replicas(tf.distribute.MultiWorkerMirroredStrategy(), worker, workers)
