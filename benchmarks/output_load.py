"""Load for ``output_jitter.py``: ``generator`` computes flat out, ``controller`` floods.

``controller PIPE`` writes into a named pipe, ``controller --jack CLIENT`` plays through JACK,
``mqtt PORT`` publishes at drumigen on a broker.
Says ``running``, and ends when its standard input closes.
"""

import os
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from itertools import cycle
from pathlib import Path

RATE = 10_000
"""Control changes a second."""
JACK_RATE = 1_000
"""The same through JACK: as many as a MIDI cable carries."""


def generate() -> None:
    """Run small matrix products on one thread, behind everyone else, as the generator does."""
    import torch  # noqa: PLC0415 - the other load needs none of it

    os.nice(5)
    torch.set_num_threads(1)
    weights = torch.randn(192, 768)
    rows = torch.randn(48, 192)
    print("running", flush=True)
    while True:
        rows = torch.tanh((rows @ weights) @ weights.T / 768)


def flood(send: Callable[[bytes], None], rate: int) -> None:
    """Turn 480 controllers, evenly spread, at so many values a second altogether."""
    messages = cycle([bytes([0xB0 | n // 120, n % 120, n % 128]) for n in range(480)])
    print("running", flush=True)
    begun = time.monotonic()
    sent = 0
    while True:
        due = int((time.monotonic() - begun) * rate)
        # what was missed by a lot is lost, as on a cable
        sent = max(sent, due - rate // 100)
        while sent < due:
            send(next(messages))
            sent += 1
        time.sleep(1.0 / rate)


def into_pipe(pipe: Path) -> Callable[[bytes], None]:
    """Return what writes a message into ``pipe``, if there is room."""
    descriptor = os.open(pipe, os.O_RDWR | os.O_NONBLOCK)

    def send(message: bytes) -> None:
        with suppress(BlockingIOError):
            os.write(descriptor, message)

    return send


def into_jack(client: str) -> Callable[[bytes], None]:
    """Return what plays a message through RtMidi's JACK client ``client:out``."""
    import rtmidi  # noqa: PLC0415 - the other loads need none of it

    port = rtmidi.MidiOut(rtmidi.API_UNIX_JACK, client)
    port.open_virtual_port("out")
    send: Callable[[bytes], None] = port.send_message
    return send


def into_broker(port: int) -> None:
    """Publish values of a control and junk, on our topics and on strange ones, and never stop."""
    from paho.mqtt.client import Client  # noqa: PLC0415 - the other loads need none of it
    from paho.mqtt.enums import CallbackAPIVersion  # noqa: PLC0415

    client = Client(CallbackAPIVersion.VERSION2)
    client.connect("127.0.0.1", port)
    client.loop_start()
    messages = cycle([("offset_ms.crash", b"7"), ("tempo", b"junk"), ("nothing", b"x" * 900)])

    def publish(_: bytes) -> None:
        control, payload = next(messages)
        client.publish(f"drumigen/drumigen/{control}/set", payload)

    flood(publish, RATE)


def main() -> None:
    """Run the load that is named."""
    threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()
    match sys.argv[1:]:
        case ["generator"]:
            generate()
        case ["controller", "--jack", client]:
            flood(into_jack(client), JACK_RATE)
        case ["mqtt", port]:
            into_broker(int(port))
        case ["controller", pipe]:
            flood(into_pipe(Path(pipe)), RATE)


if __name__ == "__main__":
    main()
