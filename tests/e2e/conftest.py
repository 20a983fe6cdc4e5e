"""Fixtures of the end-to-end tests: small clips, made once, and the program called in this process."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from app import cli
from app.pipeline.batch import Models
from tests.e2e.support import DEMO, Ran, children, fake_models, ffmpeg, kept, movie

Cli = Callable[..., Ran]


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the clips that many tests share."""
    return tmp_path_factory.mktemp("made")


@pytest.fixture(scope="session")
def clip(made: Path) -> Path:
    """One second, 25 frames, one white face, sound."""
    return movie(made / "clip.mp4", sound=True)


@pytest.fixture(scope="session")
def two_faces(made: Path) -> Path:
    """Two seconds, 50 frames, a white (real) and a red (AI-generated) face, no sound."""
    return movie(made / "two.mp4", seconds=2, faces="wr")


@pytest.fixture(scope="session")
def no_face(made: Path) -> Path:
    """Half a second without a face."""
    return movie(made / "none.mp4", seconds=0.5, faces="")


@pytest.fixture(scope="session")
def small_demo(made: Path) -> Path:
    """The demo clip at half its size, without its sound."""
    path = made / "small demo.mp4"
    ffmpeg("-v", "error", "-i", DEMO, "-an", "-vf", "scale=640:-2", "-preset", "ultrafast", path)
    return path


@pytest.fixture
def models() -> Models:
    return fake_models()


@pytest.fixture
def unmask(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path) -> Cli:
    """The program with made-up models, in this process; outputs go below ``tmp_path/runs`` unless told otherwise.

    With ``--json`` the printed array must follow the schema and be what is kept as ``summary.json``.
    """

    def run(*words: object, models: Models | None = None) -> Ran:
        with monkeypatch.context() as patch:
            patch.setattr(cli, "_load_models", lambda args: models or fake_models())
            argv = [str(word) for word in words]
            if "--project" not in argv and "models" not in argv:
                argv += ["--project", str(tmp_path / "runs")]
            capfd.readouterr()
            code = cli.main(argv)
        out, err = capfd.readouterr()
        assert "Traceback" not in err, err
        ran = Ran(code, out, err)
        if "--json" in argv and "models" not in argv and out:
            entries = ran.entries
            if "--name" in argv and "--project" not in words:
                folder = tmp_path / "runs" / argv[argv.index("--name") + 1]
                assert kept(folder) == entries
        return ran

    return run


@pytest.fixture(autouse=True)
def nothing_left_running() -> Iterator[None]:
    """No test leaves a thread or an ffmpeg behind."""
    before = set(threading.enumerate())
    yield
    assert {t.name for t in set(threading.enumerate()) - before} <= {"MainThread"}
    assert not [name for name in children() if "ffmpeg" in name]
