"""The daemon."""

from __future__ import annotations

import logging
import signal
from typing import TYPE_CHECKING, Annotated

import typer

from app.cli.common import app, running

if TYPE_CHECKING:
    from app.bootstrap import Application

log = logging.getLogger(__name__)
LOOPBACK = ("127.0.0.1", "::1", "localhost")
PORT = 8420


@app.command()
def serve(
    host: Annotated[
        str, typer.Option(help="Where to listen; loopback unless a proxy with TLS stands before it.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any free one.")] = PORT,
    proxy: Annotated[
        list[str] | None,
        typer.Option(help="Address or network of a proxy whose X-Forwarded-For is believed; 127.0.0.1 by default."),
    ] = None,
) -> None:
    """Run the daemon until it is told to end. The API, and every connection at its interval."""
    with running() as application:
        _serve(application, host, port, proxy or ["127.0.0.1"])


def _serve(application: Application, host: str, port: int, proxies: list[str]) -> None:
    import uvicorn

    from app.daemon import build, first_token
    from app.jobs.service import GRACE, Service

    if host not in LOOPBACK:
        log.warning("listening beyond this machine: put a proxy with TLS before it, or passwords travel in the clear")
    file = first_token(application)
    if file is not None:
        log.warning(
            "nobody may sign in yet: make the first admin with `concord users add NAME --role admin`, or by POST "
            "/v1/users with the token in %s (good for a day)",
            file,
        )
    service = Service(application)
    server: uvicorn.Server
    api = build(application, service.queue, lambda: server.should_exit, [service.trouble])
    server = uvicorn.Server(
        uvicorn.Config(
            api,
            host=host,
            port=port,
            log_config=None,
            access_log=False,
            server_header=False,
            forwarded_allow_ips=proxies,
            timeout_graceful_shutdown=10,
            limit_concurrency=200,
        )
    )
    # Uvicorn sends itself the signal once more when it is done; what runs beside it is to end in order even so.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    service.start()
    try:
        server.run()
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)  # who cannot wait asks again
        service.stop(GRACE)
