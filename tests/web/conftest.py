"""A browser for the tests of the panel."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser


@pytest.fixture(scope="module")
def chromium() -> "Iterator[Browser]":
    """The browser, for one module; only who asks for it loads what drives it."""
    from browser import running  # noqa: PLC0415 - slow to load

    with running() as browser:
        yield browser
