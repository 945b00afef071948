"""What an application finds on the request scope: the token, and Starlette's user and credentials."""

from __future__ import annotations

from functools import cached_property

from starlette.authentication import AuthCredentials, BaseUser, UnauthenticatedUser

from jwt_asgi._core.access_token import AccessToken
from jwt_asgi.types import ASGIScope

__all__ = ["TokenCredentials", "TokenUser", "set_identity"]


class TokenUser(BaseUser):
    """Starlette's `request.user` for a verified token, which is `token`."""

    __slots__ = ("token",)

    def __init__(self, token: AccessToken) -> None:
        """Keep the token."""
        self.token = token

    @property
    def is_authenticated(self) -> bool:
        """Always true."""
        return True

    @property
    def display_name(self) -> str:
        """The subject, or else the client."""
        return self.token.subject or self.token.client_id or ""

    @property
    def identity(self) -> str:
        """The subject, or else the client."""
        return self.display_name


class TokenCredentials(AuthCredentials):
    """Starlette's `request.auth` for a verified token: its scopes, as `@requires` reads them, and `authenticated`."""

    def __init__(self, token: AccessToken) -> None:
        """Keep the token; the scopes are read when they are asked for."""
        self._token = token

    @cached_property
    def scopes(self) -> list[str]:  # type: ignore[override]
        """Sorted, behind `authenticated`."""
        return ["authenticated", *sorted(self._token.scopes)]


def set_identity(scope: ASGIScope, token: AccessToken | None) -> None:
    """Overwrite whatever was there, so that nothing outside can pass itself off as a verified token."""
    scope["jwt"] = token
    scope["auth"] = AuthCredentials(None) if token is None else TokenCredentials(token)
    scope["user"] = UnauthenticatedUser() if token is None else TokenUser(token)
