"""The process that renders songs on request: ``python -m drumigen_daemon.jobs.process HANDLE``."""

import os
import signal
import socket
import sys
from typing import Final

from drumigen_daemon.jobs.messages import Assignment, JobProgress
from drumigen_daemon.jobs.rendering import Renderer
from drumigen_daemon.process.channel import Unpacker, packed

NICENESS: Final = 15


def main() -> int:
    """Render what comes down the channel until it closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(os, "setpriority"):
        os.setpriority(os.PRIO_PROCESS, 0, NICENESS)
    sock = socket.socket(fileno=int(sys.argv[1]))
    sock.setblocking(True)
    unpacker: Unpacker[Assignment] = Unpacker(Assignment)
    renderer = Renderer(lambda bars: sock.sendall(packed(JobProgress(bars))))
    while data := sock.recv(65536):
        for assignment in unpacker.feed(data):
            sock.sendall(packed(renderer.answer(assignment)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
