"""The fixtures of the end-to-end and the engine's tests, and the tiny model of the classifiers' contract."""

from __future__ import annotations

from tests.contracts.test_classifier_contract import crops, tiny
from tests.e2e.conftest import clip, made, no_face, two_faces, unmask
from tests.engine.conftest import card, no_thread_left, watch

__all__ = ["card", "clip", "crops", "made", "no_face", "no_thread_left", "tiny", "two_faces", "unmask", "watch"]
