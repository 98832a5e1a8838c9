"""Debian's Chromium, driven by Playwright: pages as a phone and a laptop show them."""

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest
from playwright.sync_api import Browser, Locator, Page, sync_playwright

PHONE = {"width": 412, "height": 915}
LANDSCAPE = {"width": 915, "height": 412}
LAPTOP = {"width": 1440, "height": 900}
QUIET = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    *("--autoplay-policy=no-user-gesture-required", "--disable-dev-shm-usage"),
)
"""It looks nothing up on a network, and plays sound without being touched first."""


@dataclass
class Panel:
    """One open panel, and what its console complained of."""

    page: Page
    touch: bool = False
    complaints: list[str] = field(default_factory=list)

    def tab(self, name: str) -> None:
        """Open a page of the panel, where there are pages."""
        button = self.page.locator(f"#tab-{name}")
        if button.is_visible() and button.get_attribute("aria-current") != "page":
            self._click(button)

    def press(self, control: str, tab: str = "play") -> None:
        """Press a button of the panel by its id."""
        self.tab(tab)
        self._click(self.page.locator(f'[id="{control}"]'))

    def _click(self, button: Locator) -> None:
        """Click; without aiming on an emulated phone, whose scrolled place Playwright errs on."""
        assert button.is_visible(), button
        assert button.is_enabled(), button
        if self.touch:
            button.evaluate("button => button.click()")
        else:
            button.click()

    def turn(self, control: str, value: float, tab: str) -> None:
        """Move a fader."""
        self.tab(tab)
        fader = self.page.locator(f'[id="{control}"]')
        fader.evaluate(
            "(input, value) => { input.value = value;"
            " input.dispatchEvent(new Event('input', { bubbles: true })); }",
            value,
        )

    def fill(self, field: str, text: str, tab: str) -> None:
        """Write into a field and leave it."""
        self.tab(tab)
        entry = self.page.locator(f'[id="{field}"]')
        entry.fill(text)
        entry.blur()

    def wait(self, expression: str, seconds: float = 20.0) -> None:
        """Wait until a condition of the page's holds.

        Looked at from outside: the panel's policy lets no text become code within.
        """
        deadline = time.monotonic() + seconds
        while not self.page.evaluate(f"Boolean({expression})"):
            if time.monotonic() > deadline:
                pytest.fail(f"not within {seconds:g} s: {expression}; console: {self.complaints}")
            self.page.wait_for_timeout(50)


@contextmanager
def running() -> Iterator[Browser]:
    """The browser, for one module: a loop runs as long as it is there, so no test may be async."""
    program = shutil.which("chromium")
    if program is None:
        pytest.fail("chromium is missing: apt-get install --no-install-recommends chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=list(QUIET))
        yield browser
        browser.close()


@contextmanager
def panel(browser: Browser, url: str, viewport: dict[str, int]) -> Iterator[Panel]:
    """Open a panel for the length of a block."""
    touch = viewport["width"] < 1000
    context = browser.new_context(
        viewport=viewport,  # type: ignore[arg-type]
        has_touch=touch,
        is_mobile=touch,
        color_scheme="dark",
    )
    opened = Panel(context.new_page(), touch)
    page = opened.page

    def complain(text: str) -> None:
        opened.complaints.append(text)

    page.on("pageerror", lambda error: complain(str(error)))
    page.on("console", lambda m: complain(m.text) if m.type in ("error", "warning") else None)
    page.goto(url)
    opened.wait("window.drumigen?.link.connected && document.querySelector('#styles button')")
    try:
        yield opened
    finally:
        context.close()
