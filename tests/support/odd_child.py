"""A child process that behaves as its argument says: for tests of the parent."""

import os
import signal
import sys
import time

from drumigen.errors import ChannelClosedError
from drumigen_daemon.process.channel import EXIT_UNAVAILABLE, Channel


def main() -> int:
    manner = sys.argv[2]
    channel: Channel[str] = Channel.inherited(sys.argv[1], str)
    try:
        if manner != "says nothing":
            channel.send(f"hello from {os.getpid()}")
    except ChannelClosedError:
        return 0
    match manner:
        case "dies":
            os.kill(os.getpid(), signal.SIGKILL)
        case "babbles":
            channel._socket.send(b"\x05\x00\x00\x00nope!")
            time.sleep(60)
        case "unavailable":
            return EXIT_UNAVAILABLE
    while True:
        try:
            for message in channel.receive():
                if message == "bye":
                    return 0
        except ChannelClosedError:
            return 0
        time.sleep(0.005)


if __name__ == "__main__":
    sys.exit(main())
