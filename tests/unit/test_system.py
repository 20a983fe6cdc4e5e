"""What ``info`` tells, and that nothing private is in it."""

from __future__ import annotations

import getpass
import json
import platform
from pathlib import Path

import pytest

from app import __version__, cli
from app.models.artifact import DEFAULT_MODEL, read_card
from app.system import PACKAGES, describe


def test_everything_a_report_needs_is_there() -> None:
    facts = describe()
    assert facts["unmask"] == __version__ and facts["python"].startswith(platform.python_version())
    assert set(PACKAGES) <= set(facts) and "missing" not in [facts[p] for p in ("numpy", "openvino", "PySide6")]
    assert facts["ffmpeg"].startswith("ffmpeg version") and "cores" in facts["processor"]
    sha256 = read_card(DEFAULT_MODEL).files["keras"].sha256
    assert sha256[:16] in facts[f"model {DEFAULT_MODEL}"] and "DIFFERS" not in facts[f"model {DEFAULT_MODEL}"]


def test_nothing_private(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNMASK_FFMPEG", "/home/somebody/bin/ffmpeg")
    assert cli.main(["info"]) == 0
    said = capsys.readouterr().out
    assert "somebody" not in said and platform.node() not in said and "/" not in said.replace("kHz/", "")
    assert getpass.getuser() == "root" or getpass.getuser() not in said
    assert str(Path.home()) not in said
    assert "cannot be run" in said
    assert cli.main(["info", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["unmask"] == __version__
