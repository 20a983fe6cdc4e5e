"""The tiny family without dropout: what it does on several devices does not depend on which picture is where."""

from __future__ import annotations

from pathlib import Path

import keras

from tests.train import tiny


def build(size: int, imagenet: Path | None) -> keras.Model:
    model = tiny.build(size, imagenet)
    model.layers[-2].rate = 0.0
    return model
