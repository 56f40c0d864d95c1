"""Run a command in a small process, and print its seconds and its memory as JSON.

The peak of a process begins with that of whoever started it (``getrusage``), so that a program as
large as a benchmark would be measured instead of small ones. Run with ``python -I -S``.
"""

import json
import os
import sys
import time


def main(log: str, command: list[str]) -> int:
    """Run a command, its output going to a file; return its exit status."""
    began = time.perf_counter()
    child = os.fork()
    if child == 0:
        try:
            output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
            os.dup2(output, 1)
            os.dup2(output, 2)
            os.execvp(command[0], command)
        except OSError as error:
            os.write(2, f"{command[0]}: {error.strerror}\n".encode())
            os._exit(127)
    _, status, used = os.wait4(child, 0)
    unit = 1 if sys.platform == "darwin" else 1024
    measured = {
        "seconds": time.perf_counter() - began,
        "processor": used.ru_utime + used.ru_stime,
        "peak": used.ru_maxrss * unit,
    }
    print(json.dumps(measured))
    return os.waitstatus_to_exitcode(status) & 255


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
