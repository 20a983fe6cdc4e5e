"""Models closed in any order leave a process that still takes Ctrl-C."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.tiny_models import write_two

SCRIPT = """
import ctypes, signal, sys
from pathlib import Path
from app.models.artifact import load_classifier, read_card
folder = Path(sys.argv[1])
first, second = (load_classifier(read_card(name, folder), "cpu", folder) for name in ("bluish", "redless"))
for model in (first, second):
    model.close()
first = second = None
big = [bytes(1 << 16) for _ in range(200)]  # whoever gets the freed memory now
signal.signal(signal.SIGINT, lambda *_: None)
signal.raise_signal(signal.SIGINT)
print("still here")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="signal stacks of Linux")
def test_ctrl_c_after_models_were_closed_in_the_order_they_were_made(tmp_path: Path, card_fields) -> None:
    write_two(tmp_path, card_fields)
    ran = subprocess.run([sys.executable, "-c", SCRIPT, str(tmp_path)], capture_output=True, text=True, timeout=200)
    assert (ran.returncode, ran.stdout) == (0, "still here\n"), ran.stderr
