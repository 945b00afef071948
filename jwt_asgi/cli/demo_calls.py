"""One request of the demo and the answer that is promised to it: sent and compared, or shown as a curl line."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlencode, urlsplit

__all__ = ["Call", "Got", "shown"]

_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Got:
    """What was answered."""

    status: int
    challenge: str
    body: bytes

    @property
    def error(self) -> str | None:
        """The code of the error: in the challenge, or, where there is none, in the body."""
        if self.challenge:
            return self.challenge.partition('error="')[2].partition('"')[0] or None
        error = self.json().get("error")
        return error if isinstance(error, str) else None

    def json(self) -> dict[str, Any]:
        """Return the body's object; an empty one where it has none."""
        try:
            content = json.loads(self.body)
        except ValueError:
            return {}
        return content if isinstance(content, dict) else {}

    def __str__(self) -> str:
        """Show the status with what is said of an error."""
        return f"{self.status} {self.challenge or self.error or ''}".strip()


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request: a POST where it has a form.

    Attributes:
        title: What it shows.
        url: Where it goes.
        token: The access token that it carries.
        form: What is sent.
        status: The status that is promised.
        error: The code of the error that is promised, or None.
    """

    title: str
    url: str
    token: str | None = field(default=None, repr=False)
    form: Mapping[str, str] | None = field(default=None, repr=False)
    status: int = 200
    error: str | None = None

    @property
    def promise(self) -> str:
        """The answer that is promised."""
        return f"{self.status}{f' {self.error}' if self.error else ''}"

    def keeps(self, got: Got) -> bool:
        """Whether that is it."""
        return got.status == self.status and got.error == self.error

    def curl(self) -> str:
        """Return a command that sends it."""
        words = [] if self.token is None else ["-H", f"Authorization: Bearer {self.token}"]
        for name, value in (self.form or {}).items():
            words += ["-d", f"{name}={value}"]
        return shlex.join(["curl", "-i", *words, self.url])

    def send(self) -> Got:
        """Send it, past any proxy."""
        url = urlsplit(self.url)
        connection = HTTPConnection(url.netloc, timeout=_SECONDS)
        headers = {} if self.token is None else {"authorization": f"Bearer {self.token}"}
        body = None if self.form is None else urlencode(self.form)
        if body is not None:
            headers["content-type"] = "application/x-www-form-urlencoded"
        try:
            connection.request("GET" if body is None else "POST", url.path, body, headers)
            response = connection.getresponse()
            return Got(response.status, response.getheader("www-authenticate", ""), response.read())
        finally:
            connection.close()


def shown(call: Call, got: Got, *, kept: bool) -> str:
    """Return the line that says what became of a call."""
    line = f"{'ok  ' if kept else 'FAIL'}  {call.title}: {got}"
    return line if kept else f"{line}; expected {call.promise}"
