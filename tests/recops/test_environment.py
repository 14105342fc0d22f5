import subprocess
import sys
from pathlib import Path

SHOW = "import sys; from recops import environment; environment.prepare(); print(sys.getswitchinterval())"


def test_threads_of_our_processes_take_turns_often(tmp_path: Path) -> None:
    shown = subprocess.run([sys.executable, "-c", SHOW], capture_output=True, text=True, check=True).stdout
    assert float(shown) < sys.getswitchinterval() / 5
