"""Standard error belongs to Python: native libraries' own words do not reach whoever ran the command."""

from __future__ import annotations

import subprocess
import sys

NOISY = """
import logging, os, sys, threading
from app.vision.quiet import python_alone_on_stderr, stderr_silenced

def native(text):
    os.write(2, text.encode())

with python_alone_on_stderr():
    native("hidden")
    print("said", file=sys.stderr)
    # A detector that another thread makes or closes meanwhile keeps to itself too, and is not held up.
    def elsewhere():
        with stderr_silenced():
            native("hidden")
    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join(30)
    assert not thread.is_alive()
    native("hidden")
    os.system("echo hidden >&2")
    logger = logging.getLogger("made meanwhile")
    logger.addHandler(logging.StreamHandler())
native("native again, ")
print("python again", file=sys.stderr)
logger.warning("a logger too")
"""


def test_python_alone_writes_to_standard_error_for_the_length_of_a_command() -> None:
    done = subprocess.run([sys.executable, "-c", NOISY], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == ""
    assert done.stderr.splitlines() == ["said", "native again, python again", "a logger too"]


def test_a_standard_error_that_python_replaced_or_lacks_is_left_alone() -> None:
    code = (
        "import io, os, sys\n"
        "from app.vision.quiet import python_alone_on_stderr\n"
        "for other in (io.StringIO(), None):\n"
        "    sys.stderr = other\n"
        "    with python_alone_on_stderr():\n"
        "        assert sys.stderr is other\n"
        "        os.write(2, b'seen ')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stderr == "seen seen "
