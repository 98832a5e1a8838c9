"""The names and addresses under which this machine is reached."""

import socket
from collections.abc import Iterable


def own_names(extra: Iterable[str] = ()) -> frozenset[str]:
    """Return the names by which a browser may call this machine, in lower case, without port."""
    host = socket.gethostname().lower()
    return frozenset({"localhost", host, f"{host}.local", "drumigen.local", *extra})


def own_addresses() -> list[str]:
    """Return the IPv4 addresses under which others reach this machine."""
    found = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            # nothing is sent: the system says which address it would use
            probe.connect(("192.0.2.1", 9))
            found.append(probe.getsockname()[0])
        except OSError:
            pass
    try:
        infos = socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET)
    except OSError:
        infos = []
    found += [str(info[4][0]) for info in infos]
    return [a for a in dict.fromkeys(found) if not a.startswith("127.") and a != "0.0.0.0"]  # noqa: S104 - a value
