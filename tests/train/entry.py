"""``python -m train`` with the tiny families, as a process of its own; several commands, joined by ``then``.

UNMASK_TEST_CPUS=N makes N devices of the CPU.
"""

from __future__ import annotations

import os
import sys

from tests.train.conftest import TINY_FAMILIES
from train import zoo
from train.__main__ import main

if __name__ == "__main__":
    zoo.FAMILIES.update(TINY_FAMILIES)
    if cpus := int(os.environ.get("UNMASK_TEST_CPUS", "0")):
        import tensorflow as tf

        cpu = tf.config.list_physical_devices("CPU")[0]
        tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * cpus)
    words = sys.argv[1:]
    while "then" in words:
        end = words.index("then")
        if code := main(words[:end]):
            sys.exit(code)
        words = words[end + 1 :]
    sys.exit(main(words))
