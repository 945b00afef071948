"""The endpoints of our token service as an OpenAPI document: what each may answer, written from the standards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from jwt_asgi.issuer import Fault

_FORM = "application/x-www-form-urlencoded"
_TEXT = {"type": "string"}
_NO_STORE = {"Cache-Control": {"required": True, "schema": {"const": "no-store"}}}
_TAGGED = {"ETag": {"required": True, "schema": {"type": "string", "pattern": '^"[^"]+"$'}}}
# RFC 6749 section 5.2
_ERROR = {
    "type": "object",
    "required": ["error", "error_description"],
    "additionalProperties": False,
    "properties": {
        "error": {"enum": [fault.value for fault in Fault]},
        "error_description": {"type": "string", "pattern": r"^[\x20\x21\x23-\x5b\x5d-\x7e]+$"},
    },
}
# RFC 6749 section 5.1
_TOKENS = {
    "type": "object",
    "required": ["access_token", "token_type", "expires_in"],
    "additionalProperties": False,
    "properties": {
        "access_token": {"type": "string", "pattern": r"^[\w-]+\.[\w-]+\.[\w-]+$"},
        "token_type": {"const": "Bearer"},
        "expires_in": {"type": "integer", "minimum": 1},
        "scope": _TEXT,
        "refresh_token": _TEXT,
    },
}
# RFC 7662 section 2.2
_INTROSPECTION = {
    "type": "object",
    "required": ["active"],
    "properties": {"active": {"type": "boolean"}},
    "if": {"properties": {"active": {"const": False}}},
    "then": {"maxProperties": 1},
    "else": {"required": ["iss", "sub", "aud", "client_id", "exp", "iat"]},
}
# RFC 7517 section 4, without any member of a private key
_KEYS = {
    "type": "object",
    "required": ["keys"],
    "properties": {
        "keys": {
            "type": "array",
            "minItems": 1,
            "items": {
                "required": ["kty", "kid", "alg", "use"],
                "propertyNames": {"enum": ["kty", "kid", "alg", "use", "crv", "x", "y", "n", "e"]},
            },
        }
    },
}
_METADATA = {
    "type": "object",
    "required": ["issuer", "token_endpoint", "jwks_uri", "response_types_supported"],
}


def document(tokens: Sequence[str]) -> dict[str, Any]:
    """Return the document; these tokens are tried among others."""
    token = {"anyOf": [{"enum": [*tokens]}, _TEXT]}
    client = {"client_id": _TEXT, "client_assertion_type": _TEXT, "client_assertion": _TEXT}
    grant = {"enum": ["refresh_token", "client_credentials", "authorization_code"]}
    scope = {"anyOf": [{"enum": ["read", "read write", "jobs:run"]}, _TEXT]}
    asked = {"grant_type": grant, "refresh_token": token, "scope": scope, "resource": _TEXT}
    about = {"token": token, "token_type_hint": _TEXT}
    binary = _answer("application/octet-stream", None, _TAGGED)
    metadata = {"200": _answer("application/json", _METADATA)}
    read = {"401": _refusal(), "304": _empty(_TAGGED), "200": binary}
    after = [{"name": "after", "in": "query", "required": True, "schema": {"type": "integer", "minimum": 0}}]
    tag = [{"name": "If-None-Match", "in": "header", "schema": {"type": "string"}}]
    delta = {**read, "400": _answer("text/plain", None), "410": _answer("text/plain", None)}
    keys = {"200": _answer("application/jwk-set+json", _KEYS, _TAGGED), "304": _empty(_TAGGED)}
    paths = {
        "/token": {"post": _form({**asked, **client}, ["grant_type"], _answer("application/json", _TOKENS, _NO_STORE))},
        "/revoke": {"post": _form({**about, **client}, ["token"], _empty(_NO_STORE))},
        "/introspect": {
            "post": _form({**about, **client}, ["token"], _answer("application/json", _INTROSPECTION, _NO_STORE))
        },
        "/ack": {"post": _form({"refresh_token": token, **client}, ["refresh_token"], _empty(_NO_STORE), status="204")},
        "/jwks": {"get": {"parameters": tag, "responses": keys}},
        "/revocations": {"get": {"parameters": [*after, *tag], "responses": delta}},
        "/revocations/snapshot": {"get": {"parameters": tag, "responses": read}},
        "/.well-known/oauth-authorization-server": {"get": {"responses": metadata}},
        "/.well-known/openid-configuration": {"get": {"responses": metadata}},
    }
    return {"openapi": "3.1.0", "info": {"title": "Token service", "version": "1"}, "paths": paths}


def _form(
    properties: Mapping[str, Any], required: Sequence[str], good: Mapping[str, Any], *, status: str = "200"
) -> dict[str, Any]:
    schema = {"type": "object", "properties": {**properties}, "required": [*required]}
    refused = _answer("application/json", _ERROR, _NO_STORE)
    return {
        "requestBody": {"required": True, "content": {_FORM: {"schema": schema}}},
        "responses": {status: good, "400": refused, "401": _refusal()},
    }


def _answer(media: str, schema: Mapping[str, Any] | None, headers: Mapping[str, Any] | None = None) -> dict[str, Any]:
    content = {media: {} if schema is None else {"schema": schema}}
    return {"description": media, "content": content, "headers": {} if headers is None else {**headers}}


def _refusal() -> dict[str, Any]:
    return _answer("application/json", _ERROR, _NO_STORE)


def _empty(headers: Mapping[str, Any]) -> dict[str, Any]:
    return {"description": "no body", "headers": {**headers}}
