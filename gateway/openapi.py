"""The OpenAPI description of the token endpoints, which answer in Kiwoom's shapes and not in ours."""

from __future__ import annotations

from typing import Any

_KEY = {"appkey": {"type": "string", "minLength": 1}, "secretkey": {"type": "string", "minLength": 1}}
_DONE = {"return_code": {"type": "integer", "const": 0}, "return_msg": {"type": "string"}}
#: Kiwoom tells most refusals with 200 and a return_code other than 0.
_REFUSAL = {
    "type": "object",
    "required": ["return_code", "return_msg"],
    "additionalProperties": False,
    "properties": {"return_code": {"type": "integer", "minimum": 1}, "return_msg": {"type": "string"}},
}
_REFUSALS = {
    "400": "The body is no JSON object",
    "413": "The body is too long",
    "429": "Too many requests; Retry-After says when to come back",
    "503": "Tokens cannot be issued now; Retry-After says when to come back",
}


def _operation(name: str, summary: str, body: dict[str, Any], answer: dict[str, Any]) -> dict[str, Any]:
    fields = {"grant_type": {"type": "string", "const": "client_credentials"}} if name == "token" else {}
    properties = fields | _KEY | body
    done = {
        "type": "object",
        "required": [*_DONE, *answer],
        "additionalProperties": False,
        "properties": _DONE | answer,
    }
    refused = {"application/json": {"schema": _REFUSAL}}
    return {
        "post": {
            "operationId": f"oauth2_{name}",
            "summary": summary,
            "tags": ["feed"],
            "security": [],
            "requestBody": {
                "required": True,
                "content": {
                    "application/json": {
                        "schema": {"type": "object", "required": list(properties), "properties": properties}
                    }
                },
            },
            "responses": {
                "200": {
                    "description": "Done, or refused: return_code tells",
                    "content": {"application/json": {"schema": {"oneOf": [done, _REFUSAL]}}},
                },
                **{code: {"description": text, "content": refused} for code, text in _REFUSALS.items()},
            },
        }
    }


TOKEN_PATHS: dict[str, Any] = {
    "/oauth2/token": _operation(
        "token",
        "Get the token of a feed key",
        {},
        {
            "token": {"type": "string"},
            "token_type": {"type": "string", "const": "bearer"},
            "expires_dt": {"type": "string", "pattern": "^[0-9]{14}$"},
        },
    ),
    "/oauth2/revoke": _operation(
        "revoke", "Give a token back", {"token": {"type": "string", "minLength": 1}}, {}
    ),
}
