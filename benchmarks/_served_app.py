"""One contender as a server's process: `python -m benchmarks._served_app SERVER PORT CORE KEY`, the site on its stdin.

`KEY` is the contender's, as in `_contenders.py`. The process stays on one core, and ends when its stdin does.
"""

from __future__ import annotations

import os
import signal
import sys
from threading import Thread

from benchmarks._contenders import contenders
from benchmarks._site import Site
from jwt_asgi.types import ASGIApp

HOST = "127.0.0.1"
SITE, KEY = "BENCHMARK_SITE", "BENCHMARK_KEY"


def make() -> ASGIApp:
    """Make the application; a worker of granian's finds its orders in the environment."""
    site = Site.from_json(os.environ[SITE])
    return next(one for one in contenders() if one.key == os.environ[KEY]).build(site)


def serve_uvicorn(port: int) -> None:
    import uvicorn  # noqa: PLC0415 - this process needs one of the two

    uvicorn.run(
        f"{__spec__.name}:make" if __spec__ is not None else "",
        factory=True,
        host=HOST,
        port=port,
        loop="uvloop",
        http="httptools",
        lifespan="auto",
        access_log=False,
        log_level="warning",
    )


def serve_granian(port: int) -> None:
    from granian import Granian  # noqa: PLC0415 - as above
    from granian.constants import Interfaces  # noqa: PLC0415 - as above

    Granian(
        "benchmarks._served_app:make",
        factory=True,
        address=HOST,
        port=port,
        interface=Interfaces.ASGI,
        workers=1,
        log_enabled=False,
    ).serve()


SERVERS = {"uvicorn": serve_uvicorn, "granian": serve_granian}


def end_with_stdin() -> None:
    """Stop the server when nobody is left who would."""
    # Not sys.stdin.read(): its lock would be held in a worker that is forked
    os.read(0, 1)
    signal.raise_signal(signal.SIGTERM)


def main() -> None:
    server, port, core, key = sys.argv[1:]
    if int(core) >= 0:
        os.sched_setaffinity(0, {int(core)})
    os.environ |= {SITE: sys.stdin.readline(), KEY: key}
    Thread(target=end_with_stdin, daemon=True).start()
    SERVERS[server](int(port))


if __name__ == "__main__":
    main()
