"""``drumigen.local`` on the local network, by multicast DNS; only where the LAN is asked for."""

from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

from drumigen_daemon.process.log_line import LogLevel
from drumigen_daemon.web.addresses import own_addresses
from drumigen_daemon.web.messages import WebSettings

if TYPE_CHECKING:
    from zeroconf.asyncio import AsyncZeroconf

SERVICE: Final = "_http._tcp.local."
ADVERTISED_NAME: Final = "drumigen"


class Advertisement:
    """Makes the panel known while it is open; where that fails, the panel is there all the same."""

    def __init__(
        self, port: int, settings: WebSettings, say: Callable[[LogLevel, str], None]
    ) -> None:
        """Advertise ``port``, if the settings ask for the local network."""
        self._port = port
        self._wanted = settings.lan
        self._say = say
        self._zeroconf: AsyncZeroconf | None = None

    async def __aenter__(self) -> Self:
        """Begin."""
        if not self._wanted:
            return self
        # slow to load, and only wanted here
        from zeroconf import Error, ServiceInfo  # noqa: PLC0415
        from zeroconf.asyncio import AsyncZeroconf  # noqa: PLC0415

        addresses = own_addresses()
        try:
            self._zeroconf = AsyncZeroconf()
            info = ServiceInfo(
                SERVICE,
                f"{ADVERTISED_NAME}.{SERVICE}",
                port=self._port,
                parsed_addresses=addresses,
                server=f"{ADVERTISED_NAME}.local.",
                properties={"path": "/"},
            )
            # another drumigen may be there: then ours is drumigen-2
            await self._zeroconf.async_register_service(info, allow_name_change=True)
        except (OSError, Error) as error:
            self._say("warning", f"web: not advertised on the network ({error}); use the address")
        where = " or ".join(f"http://{each}:{self._port}/" for each in addresses) or "no address"
        self._say("info", f"the panel is open to the network: {where}; pair by `drumigen web pair`")
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Say goodbye."""
        if self._zeroconf is not None:
            await self._zeroconf.async_close()
