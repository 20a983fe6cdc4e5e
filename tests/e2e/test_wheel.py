"""The wheel carries everything: it runs from an empty environment, in another folder, without the checkout."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

from tests.e2e.support import DEMO, ROOT, kept

PARTS = ("app", "train", "weights", "pyproject.toml", "README.md", "LICENSE", "NOTICE")


def _run(*words: object, cwd: Path) -> str:
    clean = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    done = subprocess.run([*map(str, words)], cwd=cwd, env=clean, capture_output=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr.decode(errors="replace")
    return done.stdout.decode()


@pytest.mark.skipif(sys.platform != "linux", reason="the layout of an environment is that of Linux")
def test_a_wheel_runs_from_an_empty_environment(tmp_path: Path) -> None:
    # A copy: building leaves folders behind, and other models may lie in weights/.
    copy = tmp_path / "copy"
    copy.mkdir()
    for name in PARTS:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, copy / name, ignore=shutil.ignore_patterns("__pycache__", "*.h5"))
        else:
            shutil.copyfile(source, copy / name)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    _run(*pip, "wheel", "-q", "--no-deps", "--no-build-isolation", "--no-index", "-w", tmp_path, copy, cwd=tmp_path)
    (wheel,) = tmp_path.glob("unmask-*.whl")
    place = tmp_path / "env"
    venv.create(place, with_pip=False)
    python = place / "bin" / "python"
    _run(*pip, "--python", python, "install", "-q", "--no-deps", "--no-index", wheel, cwd=tmp_path)
    # The packages that it needs come from here; a path in a .pth file brings no editable install with it.
    site = place / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"
    (site / "packages.pth").write_text(sysconfig.get_path("purelib") + "\n")
    shutil.rmtree(copy)
    here = tmp_path / "here"
    here.mkdir()

    where = _run(python, "-c", "import app, app.models.artifact as a; print(app.__file__, a.WEIGHTS)", cwd=here)
    assert all(path.startswith(str(place)) for path in where.split())
    unmask = place / "bin" / "unmask"
    assert _run(unmask, "--version", cwd=here).startswith("unmask ")
    assert "model unmask-densenet121" in _run(unmask, "info", cwd=here)
    shutil.copyfile(DEMO, here / "clip.mp4")
    _run(unmask, "scan", "clip.mp4", "--vid-stride", 5, cwd=here)
    (entry,) = kept(here / "runs" / "scan" / "clip")
    assert entry["verdict"] == "fake" and entry["frames"] == 65
    assert (place / "share" / "applications" / "unmask.desktop").is_file()
    assert (place / "share" / "icons" / "hicolor" / "scalable" / "apps" / "unmask.svg").is_file()
