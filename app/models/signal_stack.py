"""The stack on which this thread handles signals, kept from OpenVINO."""

from __future__ import annotations

import contextlib
import ctypes
import sys
from collections.abc import Iterator


class _Stack(ctypes.Structure):
    """``stack_t`` of sigaltstack(2) on Linux."""

    _fields_ = [("start", ctypes.c_void_p), ("flags", ctypes.c_int), ("size", ctypes.c_size_t)]


@contextlib.contextmanager
def signal_stack_kept() -> Iterator[None]:
    """Give the thread back the signal stack that it had, whatever is done to it meanwhile.

    OpenVINO's CPU plugin lends the thread one with every model that it compiles, and puts back the one from before when
    that model is freed. Of two models freed in the order in which they were made, the second puts back the freed stack
    of the first, and the next signal, such as Ctrl-C, ends the process with a segmentation fault. Where every model
    is compiled in here, what it puts back is always the thread's own.
    """
    if sys.platform != "linux":
        yield
        return
    sigaltstack = ctypes.CDLL(None).sigaltstack
    own = _Stack()
    sigaltstack(None, ctypes.byref(own))
    try:
        yield
    finally:
        sigaltstack(ctypes.byref(own), None)
