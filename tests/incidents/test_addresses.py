"""Addresses of channels: sealed at rest, allow-listed schemes, no way into the internal network."""

from __future__ import annotations

import pytest
from django.utils import translation

from incidents import addresses, vault

SECRET = "tgram://123456789:AAbbccddeeffgghhiijjkkllmmnnooppqqr/98765/"
OLD, NEW = "old key " * 5, "new key " * 5


@pytest.fixture(autouse=True)
def no_key(settings):
    settings.CHANNEL_KEY = []
    settings.SECRET_KEY_FALLBACKS = []
    with translation.override("en"):
        yield


def test_what_is_sealed_reads_back_and_shows_nothing():
    sealed = vault.seal(SECRET)
    assert vault.unseal(sealed) == SECRET
    assert "tgram" not in sealed
    assert vault.seal(SECRET) != sealed


def test_a_new_key_in_front_reads_what_the_old_one_sealed_and_rotation_ends_the_old_one(settings):
    settings.CHANNEL_KEY = [OLD]
    sealed = vault.seal(SECRET)
    settings.CHANNEL_KEY = [NEW, OLD]
    turned = vault.rotate(sealed)
    settings.CHANNEL_KEY = [NEW]

    assert vault.unseal(turned) == SECRET
    with pytest.raises(vault.Unreadable):
        vault.unseal(sealed)


def test_addresses_sealed_before_a_channel_key_was_set_stay_readable(settings):
    sealed = vault.seal(SECRET)
    settings.CHANNEL_KEY = [NEW]
    assert vault.unseal(sealed) == SECRET


@pytest.mark.parametrize("broken", ["", "no token", "gAAAAA"])
def test_what_nobody_sealed_is_refused(broken):
    with pytest.raises(vault.Unreadable):
        vault.unseal(broken)


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        (SECRET, "tgram:// (Telegram)"),
        ("jsons://user:hunter22@hooks.ops.example/s3cret", "jsons://ho….example"),
        ("json://10.20.30.40/s3cret", "json://10.…"),
        ("mailtos://user:hunter22@ops.example?to=a@ops.example", "mailtos://op….example"),
    ],
)
def test_only_the_scheme_and_a_part_of_the_host_are_shown(address, shown):
    assert addresses.understand(address).shown == shown


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("syslog://localhost", "The scheme syslog is not allowed"),
        ("dbus://", "The scheme dbus is not allowed"),
        ("file:///etc/passwd", "The scheme file is not allowed"),
        ("no address", "This is no address"),
        ("tgram://x y", "This is no address"),
        ("tgram://" + "x" * 3000, "This is no address"),
        ("slack://hunter22", "Apprise does not understand"),
        ("jsons://host.example/?redirect=yes", "The parameter redirect is not allowed"),
        ("workflows://h.example/w/s?template=/etc/passwd", "The parameter template is not allowed"),
    ],
)
def test_what_cannot_be_used_is_refused_without_repeating_it(address, why):
    with pytest.raises(addresses.AddressRefused, match=why) as refused:
        addresses.understand(address)
    assert "hunter22" not in str(refused.value)


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "localhost", "10.1.2.3", "192.168.0.9", "169.254.169.254", "::1", "0.0.0.0"],  # noqa: S104 - an address to refuse
)
def test_internal_targets_are_refused_unless_they_are_listed(host, settings):
    settings.CHANNEL_INTERNAL_TARGETS = []
    with pytest.raises(addresses.AddressRefused, match="internal network"):
        addresses.check_target(host)
    settings.CHANNEL_INTERNAL_TARGETS = [host]
    addresses.check_target(host)


def test_a_network_lists_its_addresses(settings):
    settings.CHANNEL_INTERNAL_TARGETS = ["10.0.0.0/8"]
    addresses.check_target("10.1.2.3")
    with pytest.raises(addresses.AddressRefused):
        addresses.check_target("192.168.0.9")


@pytest.mark.parametrize(
    "url", ["http://hooks.example/x", "https://", "https://user:pw@hooks.example/", "ftp://hooks.example/"]
)
def test_webhooks_are_called_by_https(url, settings):
    settings.CHANNEL_INTERNAL_TARGETS = []
    with pytest.raises(addresses.AddressRefused):
        addresses.webhook_host(url)
