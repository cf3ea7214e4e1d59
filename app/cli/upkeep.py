"""Looking after it: doctor, sandbox, demo."""

from __future__ import annotations

from typing import Annotated

import typer

from app.cli.common import FAILED, OK, Json, app, leave, running


@app.command()
def doctor(json: Json = False) -> None:
    """Look whether all is well, and say what to do. At database, keys, connections and clocks."""
    from app import show
    from app.doctor import examine

    findings = []
    with running() as application:
        for finding in examine(application):
            findings.append(finding)
            if not json:
                words = show.styled(" [bold]{}[/]: {}", finding.about, finding.message)
                show.out.print(show.STATES[finding.state] + words, soft_wrap=True)
                if finding.advice:
                    show.out.print(f"    → {finding.advice}", soft_wrap=True)
    if json:
        show.as_json([{name: getattr(f, name) for name in f.__slots__} for f in findings])
    leave(FAILED if any(finding.state == "ill" for finding in findings) else OK)


@app.command()
def sandbox(
    system: Annotated[str, typer.Argument(help="Which system to play.")],
    port: Annotated[int, typer.Option(help="On 127.0.0.1; 0: any free one.")] = 0,
    seed: Annotated[int, typer.Option(help="Fill it with so many made-up people.")] = 0,
) -> None:
    """Run a system in a box, to try things out on. On this machine, with nobody else's data."""
    import time
    from json import dumps

    from app import show
    from app.demo import fill
    from connectors import registry
    from connectors.sandbox import running as serving

    box = registry.sandbox(system)
    if seed:
        fill(system, box, seed)
    with serving(box.app, port) as url:
        show.out.print(show.styled("{} in a box at [bold]{}[/]; settings for `concord apply`:", system, url))
        typer.echo(dumps(box.settings(url), indent=2))  # its password is no secret: everybody's sandbox has it
        while True:
            time.sleep(3600)


@app.command()
def demo(
    people: Annotated[int, typer.Option(min=20, help="How many made-up people.")] = 240,
    real: Annotated[
        bool, typer.Option("--real/--boxes", help="With a real Radicale and Tryton, or with sandboxes only.")
    ] = True,
    json: Json = False,
) -> None:
    """See it work, with proof. CRMs, phones, a newsletter and accounting, synced both ways."""
    from app.demo import run

    leave(run(people, json, real))
