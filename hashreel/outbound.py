"""Reading addresses that users name, without lending them this machine's place in the network.

A user who may name a URL could otherwise read what only this machine reaches: a cloud's metadata, an admin page on
loopback (server-side request forgery). So a host must be on a list; the addresses that its name resolves to must be
public, or in a network of the list; the connection goes to the very address that was checked, so that a name cannot
point elsewhere a moment later; each redirect is checked like the first address. Size, time and redirects are bounded.
"""

from __future__ import annotations

import re
import socket
import ssl
import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any

import httpcore
import httpx

from hashreel.errors import BadInputError, ForbiddenError, TooLargeError, UnavailableError

__all__ = [
    "Download",
    "OutboundRules",
    "StatusError",
    "check_target",
    "fetch",
    "is_web",
    "opened",
    "post",
    "without_login",
]

PORTS = {"http": 80, "https": 443}
ANY = "*"
MAX_URL = 2048
ENTRY = re.compile(r"(\*|(\*\.)?[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*)(:[0-9]{1,5})?")
LOGIN = re.compile(r"(://)([^/?#]*)@")
REDIRECTS = frozenset({301, 302, 303, 307, 308})
# Stand for addresses of version 4 (NAT64; the compatible form), or for a site's own; Python calls them global.
STAND_INS = tuple(map(ip_network, ("64:ff9b::/96", "::/96", "fec0::/10")))

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network


class StatusError(BadInputError):
    """An address answered with another status than 200 and 206; ``status`` is that."""

    def __init__(self, response: httpx.Response) -> None:
        super().__init__(f"{response.url} answers with status {response.status_code}; expected 200")
        self.status = response.status_code


@dataclass(frozen=True)
class OutboundRules:
    """What may be read, and how much of it.

    Attributes:
        hosts: Names (``pictures.example``), names below one (``*.example``), ``*`` for every name, each on the usual
            ports or with one of its own (``pictures.example:8080``); and addresses or networks (``10.1.0.0/16``),
            which also are the only ones that are not public and that names may resolve to. Empty: nothing.
        setting: The setting that holds ``hosts``, for messages.
        max_bytes: Most bytes of a body.
        timeout_s: Longest time for all of it, name resolution left out.
        max_redirects: Most redirects that are followed.
    """

    hosts: Collection[str]
    setting: str
    max_bytes: int
    timeout_s: float = 30.0
    max_redirects: int = 3

    def __post_init__(self) -> None:
        for entry in self.hosts:
            if _network(entry) is None and not ENTRY.fullmatch(entry):
                raise BadInputError(
                    f"{entry!r} in {self.setting} is no host; accepted: name, *.name, *, each with :PORT or without, "
                    "an address, or a network such as 10.1.0.0/16"
                )

    @property
    def networks(self) -> list[Network]:
        """Return the addresses and networks of the list."""
        return [network for network in map(_network, self.hosts) if network is not None]

    def refuse(self, target: str) -> ForbiddenError:
        """Return what is raised for a target that the list does not allow."""
        listed = ", ".join(sorted(self.hosts)) or "none, so that no address is read"
        variable = f"HASHREEL_{self.setting.upper()}"
        return ForbiddenError(f"{target} is not an allowed host; allowed: {listed} ({self.setting}, {variable})")


class Download:
    """An answer whose body is read as it comes; ``url`` is where it came from after all redirects."""

    def __init__(self, response: httpx.Response, rules: OutboundRules) -> None:
        self.url = str(response.url)
        self.headers: Mapping[str, str] = response.headers
        self._response, self._rules = response, rules

    def __iter__(self) -> Iterator[bytes]:
        """Yield the body.

        Raises:
            TooLargeError: When more than ``max_bytes`` have come.
            UnavailableError: When the time is up, or the connection breaks.
        """
        size, blocks = 0, self._response.iter_raw()
        while True:
            with _translated(self.url, self._rules):
                block = next(blocks, None)
            if block is None:
                return
            size += len(block)
            if size > self._rules.max_bytes:
                raise _too_large(self.url, self._rules)
            yield block


def fetch(url: str, rules: OutboundRules) -> bytes:
    """Return what is at an address; errors as of :func:`opened`."""
    with opened(url, rules) as download:
        return b"".join(download)


@contextmanager
def opened(url: str, rules: OutboundRules, headers: Mapping[str, str] | None = None) -> Iterator[Download]:
    """Ask for an address by GET, follow its redirects, and yield the answer.

    Args:
        url: http or https.
        rules: What is allowed.
        headers: To be sent along, such as Range; a redirect to another host does not get them.

    Raises:
        BadInputError: If it is no such address, or is answered with a status other than 200 and 206.
        ForbiddenError: If its host, or where it resolves or redirects to, is not allowed.
        TooLargeError: If the body is larger than ``max_bytes``.
        UnavailableError: If it does not answer, or not in time.
    """
    deadline = time.monotonic() + rules.timeout_s
    with ExitStack() as stack:
        with _translated(url, rules):
            client = stack.enter_context(httpx.Client(transport=_Transport(rules, deadline), trust_env=False))
            response = _answer(client, url, rules, dict(headers or {}))
            stack.callback(response.close)
            _check_answer(response, rules)
        yield Download(response, rules)


def post(url: str, rules: OutboundRules, headers: Mapping[str, str], body: bytes) -> int:
    """Send a body to an address, and return the status of the answer, which is not read; no redirect is followed.

    Raises:
        BadInputError: If it is no such address.
        ForbiddenError: If its host, or where that resolves to, is not allowed.
        UnavailableError: If it does not answer, or not in time.
    """
    check_target(url, rules)
    transport = _Transport(rules, time.monotonic() + rules.timeout_s)
    with (
        _translated(url, rules),
        httpx.Client(transport=transport, trust_env=False, follow_redirects=False) as client,
        client.stream("POST", url, headers=dict(headers), content=body) as response,
    ):
        return response.status_code


def check_target(url: str, rules: OutboundRules) -> httpx.URL:
    """Return an address whose host may be asked, as it is going to be asked; its name is not resolved yet.

    Raises:
        BadInputError: If it is no http(s) address, or carries a password.
        ForbiddenError: If its host is not on the list.
    """
    shown = f"{without_login(url)[:200]!r} is no http or https address"
    if not (url.isascii() and url.isprintable() and len(url) <= MAX_URL) or set(url) & set(" \\"):
        raise BadInputError(f"{shown}; expected https://host/path of up to {MAX_URL} plain characters")
    try:
        parsed = httpx.URL(url)  # the very parser of the client, so that both see the same host
        host = parsed.host.lower().rstrip(".")
    except (httpx.InvalidURL, ValueError) as exc:  # a ValueError is that of a host that is no name
        raise BadInputError(f"{shown}: {exc}") from exc
    usual = PORTS.get(parsed.scheme)
    if usual is None or not host:
        raise BadInputError(f"{shown}; expected https://host/path")
    if parsed.userinfo:
        raise BadInputError("an address with a user or a password in it is not read; the log would show them")
    if not _is_listed(host, parsed.port or usual, usual, rules):
        raise rules.refuse(f"{host}:{parsed.port or usual}")
    return parsed


def without_login(url: str) -> str:
    """Return an address without a password in it, to be shown; of a web address, not even the user is."""
    return LOGIN.sub(lambda match: f"{match[1]}***@" if ":" in match[2] or is_web(url) else match[0], url, count=1)


def is_web(url: str) -> bool:
    """Return whether a URL is read as a web address."""
    return url.lower().startswith(("http://", "https://"))


def _answer(client: httpx.Client, url: str, rules: OutboundRules, headers: dict[str, str]) -> httpx.Response:
    """Return the first answer that is no redirect; its body is still to come."""
    own = {"Accept-Encoding": "identity", "User-Agent": "hashreel"}
    target = check_target(url, rules)
    for _ in range(rules.max_redirects + 1):
        request = client.build_request("GET", target, headers=own | headers)
        response = client.send(request, stream=True, follow_redirects=False)
        place = response.headers.get("location", "")
        if response.status_code not in REDIRECTS or not place:
            return response
        response.close()
        following = check_target(str(target.join(place)), rules)
        headers = headers if following.netloc == target.netloc else {}
        target = following
    raise BadInputError(f"{url} leads through more than {rules.max_redirects} redirects; name the address itself")


def _is_listed(host: str, port: int, usual: int, rules: OutboundRules) -> bool:
    literal = _address(host)
    if literal is not None:
        return any(literal in network for network in rules.networks)
    names = (entry.lower().partition(":") for entry in rules.hosts if _network(entry) is None)
    return any(_is_name(host, name) and port == int(own or usual) for name, _, own in names)


def _is_name(host: str, name: str) -> bool:
    if name.startswith("*."):
        return host.endswith(name[1:])
    return name in (ANY, host)


def _network(entry: str) -> Network | None:
    try:
        return ip_network(entry, strict=False)
    except ValueError:
        return None


def _address(host: str) -> Address | None:
    try:
        return ip_address(host)
    except ValueError:
        return None


def _is_public(address: Address) -> bool:
    # Addresses of version 6 that stand for one of version 4 are judged by that one.
    inner = getattr(address, "ipv4_mapped", None) or getattr(address, "sixtofour", None)
    inner = inner or (getattr(address, "teredo", None) or (None, None))[1]
    if not address.is_global or address.is_multicast or any(address in network for network in STAND_INS):
        return False
    return inner is None or _is_public(inner)


def _check_answer(response: httpx.Response, rules: OutboundRules) -> None:
    if response.status_code not in (200, 206):
        raise StatusError(response)
    if response.headers.get("content-encoding", "identity").lower() != "identity":
        raise BadInputError(f"{response.url} answers in a compressed form that was not asked for")
    length = response.headers.get("content-length", "")
    if length.isdecimal() and int(length) > rules.max_bytes:
        raise _too_large(str(response.url), rules)


def _too_large(url: str, rules: OutboundRules) -> TooLargeError:
    return TooLargeError(f"what is at {url} is larger than {rules.max_bytes} bytes, the limit")


@contextmanager
def _translated(url: str, rules: OutboundRules) -> Iterator[None]:
    try:
        yield
    except (httpx.TimeoutException, httpcore.TimeoutException) as exc:
        raise UnavailableError(f"{url} was not read within {rules.timeout_s:g} s") from exc
    except (httpx.HTTPError, httpx.InvalidURL, httpcore.NetworkError, ssl.SSLError, OSError, UnicodeError) as exc:
        raise UnavailableError(f"{url} cannot be read: {exc or type(exc).__name__}") from exc


class _Transport(httpx.HTTPTransport):
    """A transport that connects to nothing but checked addresses, and never beyond a deadline."""

    def __init__(self, rules: OutboundRules, deadline: float) -> None:
        super().__init__(trust_env=False)
        self._pool = httpcore.ConnectionPool(
            ssl_context=httpx.create_ssl_context(trust_env=False),
            network_backend=_Backend(rules, deadline),
            max_keepalive_connections=0,
        )


class _Backend(httpcore.NetworkBackend):
    """Resolves a name, checks all of its addresses, and connects to one of these."""

    def __init__(self, rules: OutboundRules, deadline: float) -> None:
        self._rules, self._deadline = rules, deadline
        self._sockets = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        """Return a connection to a checked address of the host; the certificate is checked against its name."""
        failure: Exception | None = None
        for address in self._checked(host, port):
            limit = _remaining(self._deadline)
            try:
                stream = self._sockets.connect_tcp(address, port, limit, local_address, socket_options)
            except httpcore.ConnectError as exc:
                failure = exc
            else:
                return _Stream(stream, self._deadline)
        raise failure or httpcore.ConnectError(f"{host} has no address")

    def _checked(self, host: str, port: int) -> list[str]:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        addresses = [ip_address(str(entry[4][0]).partition("%")[0]) for entry in found]
        networks = self._rules.networks
        for address in addresses:
            if not _is_public(address) and not any(address in network for network in networks):
                raise self._rules.refuse(f"{host}, which is {address}, an address that is not public,")
        return [str(address) for address in addresses]


class _Stream(httpcore.NetworkStream):
    """A connection whose every step ends at the deadline, so that a trickle of bytes does not go on for ever."""

    def __init__(self, stream: httpcore.NetworkStream, deadline: float) -> None:
        self._stream, self._deadline = stream, deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, _remaining(self._deadline))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, _remaining(self._deadline))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        secured = self._stream.start_tls(ssl_context, server_hostname, _remaining(self._deadline))
        return _Stream(secured, self._deadline)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


def _remaining(deadline: float) -> float:
    seconds = deadline - time.monotonic()
    if seconds <= 0:
        raise httpcore.ReadTimeout
    return seconds
