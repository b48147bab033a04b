"""The simulator's HTTP side: tokens in Kiwoom's shapes, and the fault switch for loopback callers."""

from __future__ import annotations

import json
import secrets
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from ipaddress import ip_address
from typing import Any

from gateway.protocol import KST
from gateway.simulator.faults import Fault, FaultState

#: Tokens remembered; the oldest is forgotten first.
MAX_TOKENS = 1_000
TOKEN_LIFETIME = timedelta(hours=24)

Reply = tuple[int, dict[str, Any]]


@dataclass(slots=True)
class Tokens:
    """Tokens by value. A valid token is handed out again with its first expiry, as Kiwoom does."""

    credentials: Mapping[str, str]
    _issued: OrderedDict[str, tuple[str, datetime]] = field(default_factory=OrderedDict)

    def issue(self, app_key: str, now: datetime) -> tuple[str, datetime]:
        """Return the app key's token and its expiry."""
        for token, (owner, expires) in self._issued.items():
            if owner == app_key and expires > now:
                return token, expires
        token, expires = secrets.token_urlsafe(48), now + TOKEN_LIFETIME
        self._issued[token] = (app_key, expires)
        while len(self._issued) > MAX_TOKENS:
            self._issued.popitem(last=False)
        return token, expires

    def owner(self, token: str, now: datetime) -> str | None:
        """Return the app key of a valid token."""
        app_key, expires = self._issued.get(token, ("", now))
        return app_key if expires > now else None

    def revoke(self, token: str) -> None:
        """Forget ``token``."""
        self._issued.pop(token, None)


@dataclass(slots=True)
class Api:
    """Answers one request. ``on_switch`` runs after a change of fault, ``state`` describes the server."""

    tokens: Tokens
    faults: FaultState
    on_switch: Callable[[], None]
    state: Callable[[], dict[str, Any]]
    issued: int = 0

    def handle(self, method: str, path: str, headers: Mapping[str, str], body: bytes, peer: str) -> Reply:
        """Return status and JSON for a request from address ``peer``; header names are lower case."""
        if path.startswith("/simulator/"):
            return self._control(method, path, headers, body, peer)
        if method != "POST" or path not in ("/oauth2/token", "/oauth2/revoke"):
            return 404, {"return_code": 1504, "return_msg": "해당 URI에서 지원하지 않는 API ID 입니다"}
        data = _object(body)
        if data is None:
            return 200, _error(1517, "입력 값 형식이 올바르지 않습니다")
        return self._token(data) if path == "/oauth2/token" else self._revoke(data)

    def _token(self, data: dict[str, Any]) -> Reply:
        if Fault.TOKEN_429 in self.faults:
            text = "허용된 요청 개수를 초과하였습니다[1700:요청 한도 초과]"
            return 429, {"return_code": 5, "return_msg": text}
        if Fault.LOGIN_REJECT in self.faults and self.faults.code == 8050:
            return 200, _error(8050, "지정단말기 인증에 실패했습니다")
        if data.get("grant_type") != "client_credentials":
            return 200, _error(8012 if data.get("grant_type") else 8011, "grant_type 값이 올바르지 않습니다")
        app_key = str(data.get("appkey", ""))
        if not app_key:
            return 200, _error(8020, "입력파라미터로 appkey 또는 secretkey가 들어오지 않았습니다")
        secret = self.tokens.credentials.get(app_key)
        if secret is None or not secrets.compare_digest(secret, str(data.get("secretkey", ""))):
            return 200, _error(8001, "App Key와 Secret Key 검증에 실패했습니다")
        token, expires = self.tokens.issue(app_key, datetime.now(KST))
        self.issued += 1
        return 200, {
            "expires_dt": expires.strftime("%Y%m%d%H%M%S"),
            "token_type": "Bearer",
            "token": token,
            "return_code": 0,
            "return_msg": "정상적으로 처리되었습니다",
        }

    def _revoke(self, data: dict[str, Any]) -> Reply:
        self.tokens.revoke(str(data.get("token", "")))
        return 200, {"return_code": 0, "return_msg": "정상적으로 처리되었습니다"}

    def _control(self, method: str, path: str, headers: Mapping[str, str], body: bytes, peer: str) -> Reply:
        # A page in a browser could reach loopback too: it would send Origin, or could not send JSON.
        if not ip_address(peer).is_loopback or "origin" in headers:
            return 403, {"error": "loopback programs only"}
        if path == "/simulator/state" and method == "GET":
            return 200, self.state()
        if path != "/simulator/fault" or method != "POST":
            return 404, {"error": "POST /simulator/fault or GET /simulator/state"}
        if headers.get("content-type", "").partition(";")[0].strip() != "application/json":
            return 415, {"error": "send application/json"}
        data = _object(body)
        try:
            self.faults.switch((data or {}).get("fault"), (data or {}).get("code"))
        except ValueError as error:
            return 400, {"error": str(error), "faults": [str(fault) for fault in Fault]}
        self.on_switch()
        return 200, {"fault": str(self.faults.fault), "code": self.faults.code}


def _object(body: bytes) -> dict[str, Any] | None:
    try:
        data = json.loads(body)
    except ValueError:
        return None
    return data if isinstance(data, dict) else None


def _error(code: int, text: str) -> dict[str, Any]:
    return {"return_code": 3, "return_msg": f"인증에 실패했습니다[{code}:{text}]"}
