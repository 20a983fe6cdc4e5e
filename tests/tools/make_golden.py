"""Make tests/golden/: one face of the demo clip, and what the shipped model says of it.

* ``frame.png``: a part of one frame, losslessly, with the largest face of it in the middle;
* ``crop.png``: that face as the model sees it, made by ``crop_face`` with the shipped card's preprocessing;
* ``golden.json``: the face's box on ``frame.png``, the hashes of the weights, and the raw logits of the Keras model
  and of the CPU form, each the mean over all views of the face (the crop is the first of them).

To be run again whenever the weights change, from the repository's root:

    python tests/tools/make_golden.py

tests/test_golden.py then holds every path from picture to score to these numbers.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import cv2
import numpy as np

from app.core.crops import square_around
from app.core.records import Box
from app.models.artifact import DEFAULT_MODEL, load_classifier, read_card, verified_path
from app.models.runtimes import TensorFlowClassifier
from app.models.views import score_views, views_of
from app.vision.detector import MediaPipeDetector
from app.vision.sources import FileSource

ROOT = Path(__file__).resolve().parents[2]
CLIP = ROOT / "app" / "assets" / "demo.mp4"
FRAME = 135
"""5.4 s: both faces are there and hold still."""
MARGIN = 24
"""Pixels kept around the square of the crop."""
LEAST_TOLERANCE = 0.05
CHECK = "cpu form against keras, validation"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", default=DEFAULT_MODEL, help="name of the folder in weights/ (default: %(default)s)")
    parser.add_argument("--out", type=Path, default=ROOT / "tests" / "golden", help="default: %(default)s")
    args = parser.parse_args()

    card = read_card(args.model)
    how = card.preprocessing
    with FileSource(CLIP) as source, MediaPipeDetector() as detector:
        source.skip(FRAME)
        frame = source.read()
        assert frame is not None
        found = detector.detect(frame.image)[0].box
    left, top, side = square_around(found, max(how.crop_scale, how.second_scale or 0))
    height, width = frame.image.shape[:2]
    x0, y0 = max(0, left - MARGIN), max(0, top - MARGIN)
    x1, y1 = min(width, left + side + MARGIN), min(height, top + side + MARGIN)
    part = np.ascontiguousarray(frame.image[y0:y1, x0:x1])
    box = Box(found.x0 - x0, found.y0 - y0, found.x1 - x0, found.y1 - y0).rounded()
    views = views_of(part, box, how)

    cpu = load_classifier(card, "cpu")
    cpu_logit = float(score_views(cpu, [views], how).logits[0])
    in_keras = TensorFlowClassifier(verified_path(card, "keras"), how.size)
    keras_logit = float(score_views(in_keras, [views], how).logits[0])
    # As far apart as the two forms were on the validation pictures when they were exported.
    tolerance = max(LEAST_TOLERANCE, float(card.metrics.get(CHECK, {}).get("largest_logit_difference") or 0))
    if abs(cpu_logit - keras_logit) > tolerance:
        parser.exit(
            1,
            f"the CPU form says {cpu_logit:.4f} and the Keras model {keras_logit:.4f}: further apart than {tolerance} "
            "on the validation pictures; nothing was written, export the model again\n",
        )

    args.out.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(args.out / "frame.png"), part, [cv2.IMWRITE_PNG_COMPRESSION, 9])
    rgb = cv2.cvtColor(views[0], cv2.COLOR_RGB2BGR)
    cv2.imwrite(str(args.out / "crop.png"), rgb, [cv2.IMWRITE_PNG_COMPRESSION, 9])
    golden = {
        "model": card.name,
        "sha256": {form: file.sha256 for form, file in card.files.items()},
        "preprocessing": how.model_dump(),
        "frame": FRAME,
        "box": box.xyxy,
        "keras_logit": round(keras_logit, 6),
        "cpu_form": card.cpu_form,
        "cpu_logit": round(cpu_logit, 6),
        "cpu_tolerance": round(tolerance, 4),
    }
    (args.out / "golden.json").write_text(json.dumps(golden, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(golden, indent=1))


if __name__ == "__main__":
    main()
