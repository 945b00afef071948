"""The application of docs/how-to/browser-sessions.md over HTTPS, word by word, and a Chromium to look at it."""

from __future__ import annotations

import asyncio
import datetime as dt
import re
import shutil
import socket
from collections.abc import Coroutine, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from types import ModuleType
from typing import Any

import uvicorn
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.missing import installed, not_here

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "browser-sessions.md"
CHROMIUM = ["chromium", "chromium-browser", "google-chrome"]
HTML = """<!doctype html><title>page</title>
<script type="module">
    window.session = await import("/session.js");
    window.ready = true;
</script>
<form id="f" method="post"></form>"""


@contextmanager
def chromium() -> Iterator[Any]:
    """A browser; where there is none, the test is skipped, or fails in CI."""
    playwright = installed("playwright.sync_api", "playwright")
    with playwright.sync_playwright() as driver:
        path = next(filter(None, map(shutil.which, [*CHROMIUM, driver.chromium.executable_path])), None)
        if path is None:
            not_here("there is no Chromium: run `apt-get install -y --no-install-recommends chromium`")
        # Root, as in a container, cannot have the sandbox
        browser = driver.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        try:
            yield browser
        finally:
            browser.close()


def blocks(language: str) -> list[str]:
    """The blocks of the page in a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


class Site:
    """The application, served at two ports of localhost; `names` are those of the page's Python."""

    def __init__(self, names: dict[str, Any], ports: list[int]) -> None:
        self.names = names
        self.port, self.other_port = ports
        self.loop: asyncio.AbstractEventLoop | None = None
        self.seen: list[tuple[str, str, int]] = []

    @property
    def origin(self) -> str:
        """Its own."""
        return f"https://localhost:{self.port}"

    @property
    def same_site(self) -> str:
        """Another application under the same domain."""
        return f"https://localhost:{self.other_port}"

    @property
    def cross_site(self) -> str:
        """A site that has nothing to do with it."""
        return f"https://127.0.0.1:{self.port}"

    def call(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Do something in the event loop of the server."""
        assert self.loop is not None
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(10)

    def statuses(self, path: str) -> list[int]:
        """What was answered to posts, since the last time that all were forgotten."""
        return [status for method, seen, status in self.seen if (method, seen) == ("POST", path)]


@contextmanager
def serving(folder: Path) -> Iterator[Site]:
    """Serve the application for a block; the folder is the working directory."""
    module = ModuleType("the_page")
    names = vars(module)
    for block in blocks("python")[:2]:
        exec(compile(block, PAGE.name, "exec", dont_inherit=True), names)
    sockets = [_listening() for _ in range(2)]
    site = Site(names, [bound.getsockname()[1] for bound in sockets])
    _complete(site)
    certificate, key = _certificate(folder)
    config = uvicorn.Config(
        _watched(site), log_config=None, ssl_certfile=certificate, ssl_keyfile=key, timeout_graceful_shutdown=1
    )
    server = uvicorn.Server(config)
    thread = Thread(target=server.run, kwargs={"sockets": sockets}, daemon=True)
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive(), "the server did not start"
            thread.join(0.01)
        yield site
    finally:
        server.should_exit = True
        thread.join(10)


def _complete(site: Site) -> None:
    """Add what the page leaves to its reader: users, a page, an API."""

    async def find_user(login: Any) -> str | None:
        return "ada" if login.password == "correct horse" else None

    async def page(_: Request) -> Response:
        return Response(HTML, media_type="text/html")

    async def script(_: Request) -> Response:
        return Response(blocks("js")[0], media_type="text/javascript")

    async def api(request: Request) -> Response:
        service = site.names["service"]
        token = request.headers.get("authorization", "").removeprefix("Bearer ")
        found: Mapping[str, Any] = await service.introspect(token, await service.find_client("web"))
        return JSONResponse({"sub": found.get("sub")}, 200 if found["active"] else 401)

    async def login_by_form(request: Request) -> Response:
        site.names["check_cross_origin"](request.scope)
        tokens = await site.names["service"].issue(subject="ada", client_id="web", audience="https://api.example.com")
        response: Response = site.names["logged_in"](tokens, request)
        return response

    site.names["find_user"] = find_user
    site.names["app"].router.routes.extend(
        [
            Route("/", page),
            Route("/session.js", script),
            Route("/api", api, methods=["GET", "POST"]),
            Route("/login-by-form", login_by_form, methods=["POST"]),
        ]
    )


def _watched(site: Site) -> Any:
    async def application(scope: Any, receive: Any, send: Any) -> None:
        site.loop = asyncio.get_running_loop()

        async def watching(message: Any) -> None:
            if message["type"] == "http.response.start":
                site.seen.append((scope["method"], scope["path"], message["status"]))
            await send(message)

        await site.names["app"](scope, receive, watching)

    return application


def _listening() -> socket.socket:
    bound = socket.socket()
    bound.bind(("127.0.0.1", 0))
    return bound


def _certificate(folder: Path) -> tuple[Path, Path]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    files = folder / "certificate.pem", folder / "key.pem"
    files[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    private = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    files[1].write_bytes(key.private_bytes(serialization.Encoding.PEM, *private))
    return files
