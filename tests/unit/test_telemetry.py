"""MediaPipe's uploader is sent nowhere, and proxies for other purposes stay."""

from __future__ import annotations

import pytest

from app.core.telemetry import NOWHERE, refuse_telemetry


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({}, {}),
        (
            {"https_proxy": "http://a", "http_proxy": "http://b", "no_proxy": "localhost,.lan"},
            {"http_proxy": "http://b", "no_proxy": "localhost,.lan"},
        ),
        ({"NO_PROXY": "lan, .googleapis.com,notplay.googleapis.com"}, {"NO_PROXY": "lan,notplay.googleapis.com"}),
        ({"no_proxy": "Play.GoogleAPIs.com com"}, {"no_proxy": ""}),
        ({"no_proxy": "*", "http_proxy": "http://b"}, {"no_proxy": ""}),
    ],
)
def test_only_the_uploader_is_cut_off(before: dict[str, str], after: dict[str, str]) -> None:
    refuse_telemetry(before)
    assert before == after | {"https_proxy": NOWHERE}
