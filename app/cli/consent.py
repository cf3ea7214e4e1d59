"""Who may be contacted, and over which way."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, get_args

import typer

from app.cli.common import Json, acting, consent_app, running, say
from connectors.consent import Channel, ConsentState

Uid = Annotated[str, typer.Argument(help="The person's uid, or its beginning.")]
ChannelName = Annotated[str, typer.Option("--channel", help="email, phone, sms or post.")]
Address = Annotated[str, typer.Option("--address", help="Only this address or number; default: the whole channel.")]
At = Annotated[datetime | None, typer.Option("--at", help="When the person said so (UTC); default: now.")]


@consent_app.command("show")
def show_consent(uid: Uid, json: Json = False) -> None:
    """Show what holds for each address of a person. And everything that was ever said."""
    from app import show
    from app.engine import privacy

    with running() as application:
        found = privacy.standing(application.world(), uid)
    show.as_json(found) if json else show.consent(found)


@consent_app.command("opt-out")
def opt_out(
    uid: Uid,
    channel: ChannelName = "email",
    address: Address = "",
    reason: Annotated[str, typer.Option("--reason", help="In what way it was said.")] = "said so",
    at: At = None,
    json: Json = False,
) -> None:
    """Record that a person does not want to be contacted. Every system with a place for it is told."""
    _record(uid, "withdrawn", channel, address, reason, at, json)


@consent_app.command("opt-in")
def opt_in(
    uid: Uid,
    evidence: Annotated[str, typer.Option("--evidence", help="What proves it: a signed form, a call, and where kept.")],
    channel: ChannelName = "email",
    address: Address = "",
    at: At = None,
    json: Json = False,
) -> None:
    """Record that a person asked to be contacted (again). It stands against an older opt-out only."""
    _record(uid, "granted", channel, address, evidence, at, json)


def _record(
    uid: str, state: ConsentState, channel: str, address: str, words: str, at: datetime | None, json: bool
) -> None:
    from app.engine import privacy

    if channel not in get_args(Channel):
        raise ValueError(f"--channel {channel}: one of {', '.join(get_args(Channel))}")
    if not words.strip():
        raise ValueError("say what it rests on; an opt-in without evidence opts nobody in")
    when = at.replace(tzinfo=UTC) if at else None
    with acting("record_consent", f"people/{uid}", channel=channel, state=state) as application:
        held = privacy.say(application.world(), uid, channel, address, state, words, "admin", when)  # type: ignore[arg-type]
    where = address or f"all {channel}"
    say(json, f"{uid}: {where} is {held} from now on", uid=uid, channel=channel, address=address, state=held)
