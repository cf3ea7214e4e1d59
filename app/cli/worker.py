"""The process that works jobs off."""

from __future__ import annotations

from typing import Annotated

import typer

from app.cli.common import FAILED, OK, app, leave, running


@app.command()
def worker(
    grace: Annotated[
        float, typer.Option(min=0, help="Seconds that running jobs have to end when the process is told to.")
    ] = 20.0,
) -> None:
    """Sync connections for the daemon, until told to end. At their times, and whenever something changed."""
    from app.jobs.worker import run

    with running() as application:
        ended = run(application, grace)
    leave(OK if ended else FAILED)
