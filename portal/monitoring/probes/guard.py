"""Which addresses a probe may reach. Names are resolved once; what was checked is what is connected to.

Internal, loopback, link-local and other special addresses are refused unless an allow-list has them. The
cloud's metadata addresses are refused even inside an allowed network: only an entry of their own allows them.
"""

from __future__ import annotations

import ipaddress
import os
import socket
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as LookupTimeout
from dataclasses import dataclass, field
from functools import cache

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
#: Gives the addresses of a name and port, each as text; raises ``OSError`` when there are none.
Resolver = Callable[[str, int], Sequence[str]]

#: Addresses of one name that are tried, and lookups that may run at once.
MAX_ADDRESSES = 4
LOOKUPS = 16
METADATA: frozenset[Address] = frozenset(
    ipaddress.ip_address(text)
    for text in ("169.254.169.254", "169.254.170.2", "169.254.170.23", "100.100.100.200",
                 "192.0.0.192", "168.63.129.16", "fd00:ec2::254", "fd20:ce::254")
)  # fmt: skip
#: What a container's label or the runtime may have probed without an entry of its own.
LABEL_NETWORKS: tuple[Network, ...] = tuple(
    ipaddress.ip_network(text)
    for text in ("127.0.0.0/8", "::1/128", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7")
)
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_WORDS = {
    "loopback": ("127.0.0.0/8", "::1/128"),
    "private": ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7"),
}


class Refused(Exception):
    """The address may not be probed; the message says which and what allows it."""


class Unresolved(OSError):
    """The name has no address, or none was told in time."""


@dataclass(frozen=True, slots=True)
class Policy:
    """Networks and host names that may be reached besides public addresses."""

    networks: tuple[Network, ...] = ()
    names: frozenset[str] = frozenset()

    def including(self, networks: Iterable[Network]) -> Policy:
        """Return the policy that also allows ``networks``."""
        return Policy((*self.networks, *networks), self.names)

    def objection(self, name: str, address: Address) -> str:
        """Return why ``address``, to which ``name`` leads, is refused; empty when it may be reached."""
        named = name.lower().rstrip(".") in self.names
        for one in _faces(address):
            if one in METADATA and not any(one in net and net.num_addresses == 1 for net in self._of(one)):
                return f"{address} is a metadata address; only an entry of its own in PROBE_ALLOW allows it"
            if not named and not _is_public(one) and not any(one in net for net in self._of(one)):
                return f"{address} is not a public address; list it in PROBE_ALLOW to probe it"
        return ""

    def _of(self, address: Address) -> Iterable[Network]:
        return (net for net in self.networks if net.version == address.version)


def parse_policy(entries: Iterable[str]) -> Policy:
    """Read ``PROBE_ALLOW``: addresses, networks, host names, or the words ``loopback`` and ``private``.

    Raises:
        ValueError: an entry is none of these.
    """
    networks: list[Network] = []
    names: set[str] = set()
    for entry in (text.strip() for text in entries):
        if not entry:
            continue
        try:
            networks += [ipaddress.ip_network(text, strict=False) for text in _WORDS.get(entry, (entry,))]
        except ValueError:
            if not _is_name(entry):
                raise ValueError(
                    f"{entry!r} is no address, network or host name, and neither 'loopback' nor 'private'"
                ) from None
            names.add(entry.lower().rstrip("."))
    return Policy(tuple(networks), frozenset(names))


def _is_name(text: str) -> bool:
    labels = text.rstrip(".").split(".")
    shaped = all(
        part and len(part) < 64 and part.replace("-", "").replace("_", "").isalnum() for part in labels
    )
    return text.isascii() and len(text) < 254 and shaped and not labels[-1].isdigit()


def _is_public(address: Address) -> bool:
    return address.is_global and not (address.is_multicast or address.is_reserved or address.is_unspecified)


def _faces(address: Address) -> list[Address]:
    """Return ``address`` in every form that a router or the kernel may understand it as."""
    if isinstance(address, ipaddress.IPv4Address):
        return [address]
    if address.ipv4_mapped is not None:  # the kernel speaks IPv4 to it; the form itself reaches nothing else
        return [address.ipv4_mapped]
    bare = ipaddress.IPv6Address(int(address))  # without a zone such as %eth0
    if bare in _NAT64:  # the same, by way of a translator
        return [ipaddress.IPv4Address(int(bare) & 0xFFFFFFFF)]
    found: list[Address] = [bare]
    if bare.sixtofour is not None:
        found.append(bare.sixtofour)
    if bare.teredo is not None:
        found.append(bare.teredo[1])
    return found


def system_resolver(host: str, port: int) -> Sequence[str]:
    """Ask the machine's own resolver."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


@dataclass(frozen=True, slots=True)
class Guard:
    """Resolves and checks; ``ca_file`` names certificates that are trusted besides the public ones."""

    policy: Policy = field(default_factory=Policy)
    resolver: Resolver = system_resolver
    ca_file: str = ""

    def addresses(self, host: str, port: int, timeout: float) -> list[str]:
        """Return the addresses of ``host`` that may be connected to; the name is looked up once.

        Raises:
            Refused: one of them may not be reached, so none is.
            Unresolved: there are none, or not within ``timeout`` seconds.
        """
        try:
            given: Sequence[str] = [str(ipaddress.ip_address(host))]
        except ValueError:
            given = self._look_up(host, port, timeout)
        checked: list[str] = []
        for text in given[:MAX_ADDRESSES]:
            address = ipaddress.ip_address(text)
            if why := self.policy.objection(host, address):
                raise Refused(why)
            checked.append(str(address))
        if not checked:
            raise Unresolved(f"{host} has no address")
        return checked

    def connect(self, host: str, port: int, timeout: float) -> socket.socket:
        """Return a socket connected to a checked address of ``host``, within ``timeout`` seconds in all.

        Raises:
            Refused: see :meth:`addresses`.
            OSError: not resolved, or no address of it took the connection.
        """
        deadline = time.monotonic() + timeout
        found = self.addresses(host, port, timeout)
        for number, address in enumerate(found, 1):
            left = max(0.05, deadline - time.monotonic())
            share = left / (len(found) - number + 1)
            try:
                return socket.create_connection((address, port), timeout=share)
            except OSError:
                if number == len(found):
                    raise
        raise AssertionError("there is at least one address")

    def _look_up(self, host: str, port: int, timeout: float) -> Sequence[str]:
        lookup = _lookups().submit(self.resolver, host, port)
        try:
            return lookup.result(timeout)
        except LookupTimeout:
            lookup.cancel()
            raise Unresolved(f"{host} was not resolved within {timeout:g} s") from None
        except (OSError, UnicodeError) as error:
            raise Unresolved(f"{host} cannot be resolved: {_words(error)}") from error


def _words(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__


@cache
def _lookups() -> ThreadPoolExecutor:
    """Return this process's threads for lookups: the C library's has no time limit of its own."""
    return ThreadPoolExecutor(LOOKUPS, thread_name_prefix="lookup")


os.register_at_fork(after_in_child=_lookups.cache_clear)
