"""Who gets in: hosts, origins, tokens, and how often one may try."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drumigen.errors import SettingsError
from drumigen_daemon.web.addresses import own_names
from drumigen_daemon.web.guard import TRIES, TRY_PERIOD, Policy, Tries, security_headers, token_in
from drumigen_daemon.web.tokens import Role, Tokens, load_tokens, tokens_at

TOKENS = Tokens("c" * 22, "w" * 22)
HERE = Policy(own_names(), lan=False, tokens=None)
LAN = Policy(own_names(), lan=True, tokens=TOKENS)


@pytest.mark.parametrize(
    "host", ["localhost", "localhost:8808", "127.0.0.1:8808", "[::1]:8808", "DRUMIGEN.local:8808"]
)
def test_our_own_names_are_hosts_of_ours(host: str) -> None:
    assert HERE.host_allowed(host)


@pytest.mark.parametrize(
    "host", ["", "evil.example", "evil.example:8808", "127.0.0.1.evil.example", "localhost.evil.ex"]
)
def test_a_name_that_was_bent_to_us_is_no_host_of_ours(host: str) -> None:
    assert not HERE.host_allowed(host)
    assert not LAN.host_allowed(host)


def test_an_address_of_the_network_is_a_host_only_where_the_network_is_asked_for() -> None:
    assert not HERE.host_allowed("192.168.1.20:8808")
    assert LAN.host_allowed("192.168.1.20:8808")


def test_on_the_network_only_the_paired_get_in() -> None:
    assert LAN.role("192.168.1.7", "") is None
    assert LAN.role("192.168.1.7", "x" * 22) is None
    assert LAN.role("192.168.1.7", TOKENS.control) is Role.CONTROL
    assert LAN.role("192.168.1.7", TOKENS.watch) is Role.WATCH
    assert LAN.role("127.0.0.1", "") is Role.CONTROL


def test_a_token_comes_as_a_bearer_or_in_the_cookie() -> None:
    assert token_in({"authorization": "Bearer abc"}) == "abc"
    assert token_in({"cookie": "other=1; drumigen=abc"}) == "abc"
    assert token_in({"cookie": "drumigen"}) == ""
    assert token_in({}) == ""


def test_tokens_are_made_once_and_nobody_else_may_read_them(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "web-token"
    made = load_tokens(path)
    assert load_tokens(path) == made
    assert path.stat().st_mode & 0o777 == 0o600
    assert made.control != made.watch
    assert tokens_at(path) == made
    assert load_tokens(path, anew=True) != made
    assert tokens_at(path) != made
    path.unlink()
    assert tokens_at(path) is None


@pytest.mark.skipif(os.name != "posix", reason="file modes")
def test_tokens_that_others_may_read_are_refused_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "web-token"
    load_tokens(path)
    path.chmod(0o644)
    with pytest.raises(SettingsError, match="chmod 600") as caught:
        load_tokens(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "control\n", "control x\nwatch y\n", "\xff" * 50])
def test_what_is_no_token_file_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "web-token"
    path.write_text(text, encoding="latin-1")
    path.chmod(0o600)
    with pytest.raises(SettingsError, match="not a token file"):
        load_tokens(path)


def test_who_guesses_waits_ever_so_long() -> None:
    tries = Tries()
    for _ in range(TRIES):
        assert tries.wait("a", 100.0) == 0.0
        tries.failed("a", 100.0)
    assert tries.wait("a", 100.0) == pytest.approx(TRY_PERIOD)
    assert tries.wait("b", 100.0) == 0.0
    assert tries.wait("a", 100.0 + TRY_PERIOD) == 0.0


@given(st.lists(st.floats(0.0, 5.0), min_size=20, max_size=60))
def test_no_rhythm_of_guessing_is_quicker_than_one_a_period(gaps: list[float]) -> None:
    tries, now, tried = Tries(), 0.0, 0
    for gap in gaps:
        now += gap
        if tries.wait("a", now) == 0.0:
            tries.failed("a", now)
            tried += 1
    assert tried <= TRIES + now / TRY_PERIOD + 1


def test_a_strange_host_does_not_get_into_the_policy_of_content() -> None:
    headers = dict(security_headers("evil; script-src *", "/"))
    assert b"evil" not in headers[b"content-security-policy"]
    assert b"script-src 'self'" in headers[b"content-security-policy"]
