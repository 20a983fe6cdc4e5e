"""Makes tests/train/segmenter/: a made-up model in the form of MediaPipe's multiclass selfie segmenter.

    python -m tests.tools.make_segmenter_sample

What is brighter than middle grey is "face skin", the rest background. The tests thus run MediaPipe itself, whose own
model is not in the repository.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

FILE = Path(__file__).resolve().parents[1] / "train" / "segmenter" / "selfie_multiclass_256x256.tflite"


def main() -> None:
    import tensorflow as tf

    # Whole numbers in: a model that takes float32 must say in its metadata how they are scaled.
    @tf.function(input_signature=[tf.TensorSpec((1, 256, 256, 3), tf.uint8)])  # type: ignore[untyped-decorator]
    def classes(pictures: Any) -> Any:
        skin = tf.reduce_mean(tf.cast(pictures, tf.float32), axis=-1, keepdims=True) / 255
        other = tf.zeros_like(skin)
        return tf.concat([1 - skin, other, other, skin, other, other], axis=-1)

    content = tf.lite.TFLiteConverter.from_concrete_functions([classes.get_concrete_function()]).convert()
    FILE.parent.mkdir(exist_ok=True)
    FILE.write_bytes(content)


if __name__ == "__main__":
    main()
