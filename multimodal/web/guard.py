"""What stands before every answer: who may ask, and what the browser is told about it.

A page of some other site runs in the same browser and can reach this machine too. Three things keep it out:

- The `Host` header must name this machine. A site that lets its own name point here (DNS rebinding) is refused.
- The browser says where a request comes from (`Origin`, `Sec-Fetch-Site`); what another site's page asks for is not
  given.
- The headers below: nothing of another origin is loaded, run or framed, and no other origin may embed an answer.

Whoever can log in to this machine can reach the page; there is no password.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable
from typing import Any
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
}
_LOCAL = frozenset(["localhost", "127.0.0.1", "::1"])


def allowed_hosts(host: str) -> frozenset[str] | None:
    """Names under which a server bound to `host` may be asked; None: any IP address, and the machine's names.

    An IP address cannot be made to point elsewhere, so it is safe wherever other machines may ask at all.
    """
    return _LOCAL if is_loopback(host) else None


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach `host`."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class Guard:
    """ASGI middleware: refuses strangers, and puts `HEADERS` on every answer."""

    def __init__(self, app: Any, host: str = "127.0.0.1", names: Iterable[str] = ()) -> None:
        self._app = app
        self._allowed = allowed_hosts(host)
        self._names = {host.lower(), *map(str.lower, names), *_LOCAL}
        if self._allowed is None:
            self._names |= {socket.gethostname().lower(), f"{socket.gethostname().lower()}.local"}

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """One request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)

        async def guarded(message: Any) -> None:
            if message["type"] == "http.response.start":
                answer = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    answer[name] = value
                if "cache-control" not in answer:
                    answer["Cache-Control"] = "no-cache" if "etag" in answer else "no-store"
            await send(message)

        refusal = self._refusal(scope["method"], headers)
        app = self._app if refusal is None else JSONResponse({"error": refusal}, 403)
        await app(scope, receive, guarded)

    def _refusal(self, method: str, headers: Headers) -> str | None:
        hosts = headers.getlist("host")
        host = _name(hosts[0]) if len(hosts) == 1 else None
        if host is None or not self._is_ours(host):
            return "This address does not belong to the search page; open it at the address that it printed."
        origin = headers.get("origin")
        same = origin is None or urlsplit(origin).netloc.lower() == hosts[0].lower()
        site = headers.get("sec-fetch-site", "none")
        opening = method == "GET" and headers.get("sec-fetch-mode") == "navigate"  # a link to the page is no harm
        if not same or (site not in ("same-origin", "none") and not opening):
            return "Another site's page asked for this; only the search page itself may."
        return None

    def _is_ours(self, host: str) -> bool:
        if self._allowed is not None:
            return host in self._allowed
        try:
            ipaddress.ip_address(host)
        except ValueError:
            return host in self._names
        return True


def _name(host: str) -> str | None:
    """A `Host` header without its port; None where it is none."""
    try:
        return urlsplit(f"//{host}").hostname
    except ValueError:
        return None
