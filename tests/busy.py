"""Run a command beside a busy loop on each core: `python tests/busy.py COMMAND [ARG]...`.

A loop ends with its parent, however that ends.
"""

from __future__ import annotations

import os
import subprocess
import sys

_LOOP = f"""
import os
while os.getppid() == {os.getpid()}:
    for _ in range(100_000): pass
"""


def main() -> int:
    loops = [
        subprocess.Popen((sys.executable, "-I", "-S", "-c", _LOOP))
        for _ in range(os.cpu_count() or 1)
    ]
    try:
        return subprocess.run(sys.argv[1:], check=False).returncode
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()


if __name__ == "__main__":
    sys.exit(main())
