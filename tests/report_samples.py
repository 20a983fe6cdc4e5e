"""Plausible scan results to make reports of; nobody is shown in them."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import cv2
import numpy as np

from app.core.cards import ModelCard
from app.core.consensus import Consensus
from app.core.records import ImageU8, TrackResult
from app.core.scoring import opinion_of, sigmoid, video_opinion
from app.pipeline.records import Highlight, TimelinePoint, VideoReport


def make_card(**changes: Any) -> ModelCard:
    """A plausible card; ``changes`` replace whole fields."""
    fields: dict[str, Any] = {
        "schema": 1,
        "name": "densenet121-192",
        "family": "DenseNet-121",
        "created": "2025-02-20",
        "summary": "Tells faces made by image generators from photographed ones, one face at a time.",
        "files": {
            "keras": {"name": "model.keras", "sha256": "0a" * 32},
            "openvino_xml": {"name": "model.xml", "sha256": "1b" * 32},
            "openvino_bin": {"name": "model.bin", "sha256": "2c" * 32},
        },
        "cpu_form": "OpenVINO, 8 bit",
        "preprocessing": {"size": 192, "crop_scale": 1.25},
        "calibration": {
            "slope": 0.83,
            "offset": -0.21,
            "method": "Platt scaling",
            "fitted_on": "1,020 validation pictures, half of them AI-generated",
        },
        "thresholds": {
            "fake": 0.9,
            "real": 0.2,
            "min_size_px": 48,
            "min_sharpness": 0.1,
            "min_brightness": 30,
            "max_brightness": 235,
            "max_yaw": 0.7,
            "min_scores": 3,
            "chosen": "on the validation pictures, for at most 1 % of the real ones called AI-generated",
        },
        "data": {"training pictures": 5100, "validation pictures": 1020, "sources": "StyleGAN, diffusion, photographs"},
        "training": {"epochs": 8, "learning_rate": 0.0003, "mirrored": True, "stopped_early": None},
        "metrics": {
            "validation": {"pictures": 1020, "auc": 0.98734, "accuracy": 0.951, "tpr_at_1_percent_fpr": 0.812},
            "test": {"pictures": 2040, "auc": 0.98112, "accuracy": 0.943, "tpr_at_1_percent_fpr": None},
            "speed": {"ms_per_face": 6.31},
        },
        "intended_use": "A first look at faces in videos and pictures by people who check where material comes from.",
        "limits": [
            "Generators that the training pictures do not contain may pass as real.",
            "Heavy compression, filters and make-up can turn the answer either way.",
        ],
        "terms": "Apache-2.0; the training pictures have terms of their own.",
    }
    return ModelCard.model_validate(fields | changes)


def make_crop(seed: int, size: int = 192) -> ImageU8:
    """A drawn face, RGB."""
    rng = np.random.default_rng(seed)
    image = np.full((size, size, 3), rng.integers(60, 200, 3), np.uint8)
    middle = (size // 2, size // 2)
    skin = tuple(int(v) for v in (rng.integers(170, 235), rng.integers(130, 180), rng.integers(100, 150)))
    cv2.ellipse(image, middle, (size * 3 // 10, size * 2 // 5), 0, 0, 360, skin, cv2.FILLED, cv2.LINE_AA)
    for x in (0.38, 0.62):
        cv2.circle(image, (int(size * x), int(size * 0.43)), size // 22, (40, 30, 30), cv2.FILLED, cv2.LINE_AA)
    cv2.ellipse(image, (size // 2, int(size * 0.68)), (size // 9, size // 24), 0, 0, 180, (150, 50, 60), 3, cv2.LINE_AA)
    return np.asarray(np.clip(image + rng.normal(0, 3, image.shape), 0, 255), np.uint8)


def make_evidence(seed: int, sign: float) -> np.ndarray[Any, np.dtype[np.float32]]:
    ys, xs = np.mgrid[0:6, 0:6]
    x, y = np.random.default_rng(seed).uniform(1, 4, 2)
    return np.asarray(sign * np.exp(-((xs - x) ** 2 + (ys - y) ** 2) / 2), np.float32)


def make_track(id: int, logit: float, first: float, last: float, card: ModelCard) -> TrackResult:
    opinion = opinion_of(logit, card.thresholds, "over 14 scored pictures")
    return TrackResult(
        id, opinion, first, last, faces=int((last - first) * 25) + 1, scored=14, evidence=logit, largest_px=140
    )


def make_timeline(
    logit: float, first: float, last: float, gap: tuple[float, float] = (0, 0)
) -> tuple[TimelinePoint, ...]:
    times = [t for t in np.arange(first, last + 1e-9, 0.2) if not gap[0] < t < gap[1]]
    levels = [logit * (1 - math.exp(-(t - first + 0.3) / 1.2)) + 0.5 * math.sin(1.7 * t + logit) for t in times]
    return tuple(TimelinePoint(float(t), sigmoid(level)) for t, level in zip(times, levels, strict=True))


def make_highlights(track: int, logit: float, times: list[float]) -> list[Highlight]:
    return [
        Highlight(track, t, logit + 0.4 * i, make_crop(track), make_evidence(10 * track + i, math.copysign(1, logit)))
        for i, t in enumerate(times)
    ]


def make_video(logits: tuple[float, ...] = (3.4, -3.1, 0.6), **changes: Any) -> VideoReport:
    """A video of 24 s; a face for each of ``logits``, each seen a little later, the second away for a while."""
    card: ModelCard = changes.pop("card", None) or make_card()
    spans = [(1.5 * i, min(24.0, 15.0 + 4 * i)) for i in range(len(logits))]
    tracks = tuple(make_track(i + 1, p, *span, card) for i, (p, span) in enumerate(zip(logits, spans, strict=True)))
    gaps = [(8.0, 11.0) if i == 1 else (0.0, 0.0) for i in range(len(logits))]
    values: dict[str, Any] = {
        "source": "/home/someone/clips/interview.mp4",
        "kind": "video",
        "opinion": video_opinion(tracks),
        "frames": 601,
        "faces": sum(t.faces for t in tracks),
        "duration_s": 24.0,
        "tracks": tracks,
        "consensus": Consensus.of(card),
        "device": "OpenVINO on the CPU, 2 cores",
        "settings": {"every": 1, "min_confidence": 0.5, "smoothing": "ewma", "limit_s": None, "save_crops": False},
        "timelines": {
            t.id: make_timeline(p, *span, gap) for t, p, span, gap in zip(tracks, logits, spans, gaps, strict=True)
        },
        "highlights": tuple(
            h
            for t, p, span in zip(tracks, logits, spans, strict=True)
            for h in make_highlights(t.id, p, [span[0] + 3.2, span[0] + 9.9])
        ),
    }
    return VideoReport(**(values | changes))


def make_picture(name: str, logits: tuple[float, ...], card: ModelCard | None = None, **changes: Any) -> VideoReport:
    card = card or make_card()
    tracks = tuple(
        replace(
            make_track(i + 1, p, 0, 0, card),
            opinion=opinion_of(p, card.thresholds, "in this picture"),
            faces=1,
            scored=1,
        )
        for i, p in enumerate(logits)
    )
    values: dict[str, Any] = {
        "kind": "picture",
        "source": f"pictures/{name}",
        "frames": 1,
        "faces": len(tracks),
        "duration_s": 0.0,
        "boxes": {t.id: (100.0 * t.id, 40.0, 100.0 * t.id + 90, 140.0) for t in tracks},
        "timelines": {t.id: (TimelinePoint(0.0, 0.5),) for t in tracks},
        "highlights": tuple(h for t, p in zip(tracks, logits, strict=True) for h in make_highlights(t.id, p, [0.0])),
        "tracks": tracks,
        "opinion": video_opinion(tracks),
        "consensus": Consensus.of(card),
    }
    return replace(make_video(), **(values | changes))
