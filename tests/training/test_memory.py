import subprocess
import sys

import numpy as np

PEAK = """
import sys
from unittest.mock import MagicMock
sys.modules["tensorflow"] = tf = MagicMock()
tf.config.list_logical_devices.return_value = []
from deeplab.training.memory import peak_memory_gb
first = peak_memory_gb()["main memory"]
held = bytearray(b"1") * 200_000_000
print(first, peak_memory_gb()["main memory"])
"""


def test_the_peak_is_that_of_the_process_and_not_of_what_started_it():
    held = np.ones(500_000_000, np.uint8)
    told = subprocess.run(
        [sys.executable, "-c", PEAK], check=True, capture_output=True, text=True
    ).stdout.split()
    first_gb, then_gb = map(float, told)
    assert held.nbytes / 1e9 > then_gb > first_gb + 0.19
