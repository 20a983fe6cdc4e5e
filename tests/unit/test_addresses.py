"""Addresses as they may be shown."""

import pytest

from app.vision.sources import without_password


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("rtsp://me:secret@camera.local:554/live?x=1", "rtsp://camera.local:554/live?x=1"),
        ("rtsp://me:a@b@camera/live", "rtsp://camera/live"),
        ("https://example.org/a@b.mp4", "https://example.org/a@b.mp4"),
        ("clips/me:secret@home.mp4", "clips/me:secret@home.mp4"),
    ],
)
def test_passwords_are_not_shown(address: str, shown: str) -> None:
    assert without_password(address) == shown
