import subprocess
import sys

SHOW = """
import sys
from recops import environment
print(sys.getswitchinterval())
environment.prepare()
print(sys.getswitchinterval())
"""


def test_threads_of_our_processes_take_turns_often() -> None:
    # In a process of its own: in this one, an earlier test may have prepared the environment.
    shown = subprocess.run([sys.executable, "-c", SHOW], capture_output=True, text=True, check=True).stdout
    before, after = map(float, shown.split())
    assert after < before / 5
