"""The configured accounts: declared, checked, paused, synced, forgotten."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, Field, SecretStr

from app.engine import look, resolve
from app.engine.run import consent_path, find, owed
from app.engine.world import Unusable
from app.secrets import redact
from app.store import connections as stored
from app.store import links, outbox, runs
from app.store.connections import Connection
from app.store.journal import pointer
from app.store.runs import Run
from app.store.store import Unit
from app.web.acts import Guarded, Here, Noted, Who, rule
from app.web.api.oauth import base_of
from app.web.models import Card, Model, Name, Pointer, RunInfo, run_info
from app.web.problems import responses
from connectors.errors import Error

router = APIRouter(prefix="/v1/connections", route_class=Guarded, tags=["connections"])
KNOWN = (401, 403, 404)
RELEASED = timedelta(hours=1)
"""How long the brake lets losses pass that a human has seen."""

Direction = Literal["both", "pull", "push", "off"]


class Policy(Model):
    """What a connection may, and what it needs. What is left out is as the file of connections has it by default."""

    every: str | None = Field(
        default=None, max_length=64, description="The interval, or null: by hand.", examples=["5m"]
    )
    approve: Literal["ask", "auto"] | None = Field(default=None, description="Does the first contact wait for a human?")
    direction: Direction | None = None
    fields: dict[str, Direction] | None = Field(default=None, description="The direction per field.", max_length=100)
    conflicts: str | dict[str, Any] | list[str] | None = Field(
        default=None, examples=["newest", "ask", {"prefer": "crm"}]
    )
    deletes: Literal["propagate", "archive", "ignore"] | None = None
    blanks: Literal["erase", "keep"] | None = None
    filter: dict[str, list[str]] | None = Field(default=None, description="Who belongs there.", max_length=100)
    quiet: str | None = Field(
        default=None, max_length=200, description="When nothing runs by itself.", examples=["22:00-06:00"]
    )
    hook: SecretStr | None = Field(
        default=None, max_length=1_000, description="The key with which the system signs its webhooks; never shown."
    )


class NewConnection(Policy):
    """An account to be connected."""

    name: str = Field(max_length=64, examples=["crm"])
    system: str = Field(max_length=64, examples=["vtiger"])
    settings: dict[str, Any] = Field(
        default_factory=dict,
        max_length=100,
        description="As the system's schema says (GET /v1/systems); secret ones are stored encrypted, never shown.",
        examples=[{"url": "https://crm.example.com", "username": "admin", "access_key": "…"}],
    )


class ConnectionChange(Policy):
    """What is given is merged in (RFC 7396); null goes back to the default."""

    settings: dict[str, Any] | None = Field(default=None, max_length=100)


class ConnectionInfo(BaseModel):
    """A connected account, and how it is."""

    name: str
    system: str
    state: Literal["new", "active", "paused"] = Field(description="new: waits for its first contact.")
    reason: str | None = Field(description="Why it is paused.")
    consent_url: str | None = Field(
        description="Where to POST for a link by which a human gives access (again); null: nobody has to.",
        examples=["/v1/connections/phones/consent"],
    )
    settings: dict[str, Any] = Field(description="Without the secret ones.")
    has_secrets: bool
    policy: dict[str, Any] = Field(description="As it can be declared.", examples=[{"direction": "both"}])
    records: int
    owed: int = Field(description="Persons who may have to be written there.")
    aside: int = Field(description="Persons who could not be written there.")
    refused: int = Field(description="Records that could not be taken in.")
    waiting: int = Field(description="Losses that wait: the brake lets them pass, or a human does.")
    last_run: RunInfo | None


def _info(here: Here, unit: Unit, c: Connection, last: Run | None) -> ConnectionInfo:
    declared = here.accounts.declared(c)
    return ConnectionInfo(
        name=c.name,
        system=c.system,
        state=c.state,
        reason=redact(None, "", c.reason),
        consent_url=consent_path(c.name) if here.accounts.lacks_access(c) else None,
        settings=declared.pop("settings"),
        has_secrets=c.secrets is not None,
        policy={key: value for key, value in declared.items() if key not in ("name", "system")},
        records=links.count(unit, c.id),
        owed=owed(unit, c),
        aside=outbox.count(unit, c.id, *outbox.ASIDE),
        refused=len(runs.refusals(unit, c.id)),
        waiting=runs.count_parked(unit, c.id),
        last_run=run_info(last, c.name) if last else None,
    )


def _show(here: Here, name: str) -> ConnectionInfo:
    connection = find(here.world(), name)
    with here.store.read() as unit:
        return _info(here, unit, connection, runs.latest(unit).get(connection.id))


@router.get("", **rule("connections:read"), responses=responses(401, 403))
def list_connections(here: Here) -> list[ConnectionInfo]:
    """All connections, by name, and how they are."""
    with here.store.read() as unit:
        latest = runs.latest(unit)
        return [_info(here, unit, c, latest.get(c.id)) for c in stored.every(unit)]


@router.post("", status_code=201, **rule("connections:write"), responses=responses(401, 403, 409, 413, 422))
def create_connection(here: Here, note: Noted, body: NewConnection, response: Response) -> ConnectionInfo:
    """Connect an account. Nothing is asked of it yet: check it, then make a plan."""
    note.target, note.detail = f"connections/{body.name}", {"system": body.system}
    here.accounts.create(body.model_dump(exclude_unset=True))
    response.headers["location"] = f"/v1/connections/{body.name}"
    return _show(here, body.name)


@router.get("/{name}", **rule("connections:read"), responses=responses(*KNOWN))
def show_connection(here: Here, name: Name) -> ConnectionInfo:
    """One connection, and how it is."""
    return _show(here, name)


class Changed(BaseModel):
    """What became of a change. reset: it is another account now, and starts over with its first contact."""

    what: Literal["updated", "unchanged", "reset"]
    connection: ConnectionInfo


@router.patch("/{name}", **rule("connections:write"), responses=responses(*KNOWN, 409, 413, 422))
def change_connection(here: Here, note: Noted, name: Name, body: ConnectionChange) -> Changed:
    """Change settings, schedule or policy."""
    patch = body.model_dump(exclude_unset=True)
    note.detail = {"changed": sorted(patch), "settings": sorted(patch.get("settings") or {})}
    what = here.accounts.change(name, patch)
    return Changed(what=what, connection=_show(here, name))


@router.delete("/{name}", status_code=204, **rule("connections:write"), responses=responses(*KNOWN, 409, 422))
def remove_connection(
    here: Here,
    note: Noted,
    name: Name,
    links: Annotated[
        Literal["forget", "keep"],
        Query(
            description="keep: which record is whom stays known, and what the others change is owed; the schedule "
            "and the credentials go, and the connection is paused until it gets new ones."
        ),
    ] = "forget",
) -> None:
    """Forget a connection. No contact is deleted, neither here nor there."""
    note.detail = {"links": links}
    world = here.world()
    connection = find(world, name)
    with here.store.begin(durable=True) as unit:
        resolve.stand_still(world, unit, name)
        if links == "forget":
            stored.remove(unit, connection.id)
            return
        reason = "disconnected; its links are kept. Enter its credentials anew, then resume it"
        state = "new" if connection.state == "new" else "paused"
        denied = unit.now if state == "paused" else None
        stored.update(unit, connection.id, state=state, reason=reason, denied=denied, secrets=None, schedule=None)


# --- acts


class Check(BaseModel):
    """What the remote said."""

    ok: bool
    label: str | None = Field(default=None, examples=["admin at vTiger 8.2.0"])
    notes: list[str] = []
    clock: datetime | None = Field(default=None, description="The remote's own time.")
    error: str | None = Field(default=None, description="Why it cannot be used, and what to do.")


@router.post("/{name}/check", **rule("connections:operate"), responses=responses(*KNOWN))
def check_connection(here: Here, name: Name) -> Check:
    """Ask the remote who we are there and what is possible."""
    try:
        account = look.check(here.world(), name)
    except (Error, Unusable) as error:
        return Check(ok=False, error=redact(None, "", str(error)))
    return Check(ok=True, label=account.label, notes=[*account.notes], clock=account.clock)


@router.post("/{name}/pause", **rule("connections:operate"), responses=responses(*KNOWN, 422))
def pause_connection(here: Here, name: Name) -> ConnectionInfo:
    """Leave it alone until it is resumed. What happens meanwhile is owed to it then."""
    return _set_state(here, name, "paused", "paused by hand")


@router.post("/{name}/resume", **rule("connections:operate"), responses=responses(*KNOWN, 422))
def resume_connection(here: Here, name: Name) -> ConnectionInfo:
    """Let it run again."""
    return _set_state(here, name, "active", None)


def _set_state(here: Here, name: str, state: str, reason: str | None) -> ConnectionInfo:
    connection = find(here.world(), name)
    if connection.state == "new":
        raise ValueError(f"{name} has not had its first contact yet; make a plan and approve it")
    with here.store.begin(durable=True) as unit:
        stored.update(unit, connection.id, state=state, reason=reason, denied=None)
    return _show(here, name)


class Credentials(Model):
    """New values of secret settings."""

    secrets: dict[str, SecretStr] = Field(min_length=1, max_length=20, examples=[{"access_key": "…"}])


@router.put("/{name}/credentials", **rule("connections:write"), responses=responses(*KNOWN, 409, 413, 422))
def rotate_credentials(here: Here, note: Noted, name: Name, body: Credentials) -> ConnectionInfo:
    """Replace credentials of the same account. They are never shown."""
    note.detail = {"secrets": sorted(body.secrets)}
    here.accounts.rotate(name, {key: value.get_secret_value() for key, value in body.secrets.items()})
    return _show(here, name)


class Link(BaseModel):
    """Where a human gives access, in any browser, and how long it is good. It is shown once: who has it can connect an
    account in your name."""

    url: str = Field(examples=["https://concord.example.com/oauth/start/…"])
    expires: datetime


@router.post(
    "/{name}/consent",
    status_code=201,
    **rule("connections:write", shown_once=True),
    responses=responses(*KNOWN, 409, 422),
)
def begin_consent(
    here: Here,
    who: Who,
    note: Noted,
    request: Request,
    name: Name,
    other_account: Annotated[
        bool, Query(description="It may be another account than before; the connection starts over then.")
    ] = False,
) -> Link:
    """Make a link that leads to the vendor's consent page, or where there is none to a form for the credentials."""
    note.detail = {"other_account": other_account}
    made = here.consents.invite(name, who.name, base_of(request), other_account)
    return Link(url=made.url, expires=made.expires)


class Queued(BaseModel):
    """It will be done soon. queued false: it was waiting for that already."""

    connection: str
    queued: bool
    runs: str = Field(description="Where its runs are.", examples=["/v1/runs?connection=crm"])


@router.post("/{name}/sync", status_code=202, **rule("connections:operate"), responses=responses(*KNOWN))
def sync_connection(here: Here, name: Name) -> Queued:
    """Sync it now, both ways, without waiting for the answer."""
    return _queue(here, name)


def _queue(here: Here, name: str) -> Queued:
    connection = find(here.world(), name)
    queued = here.jobs.enqueue("sync", connection.id)
    return Queued(connection=name, queued=queued, runs=f"/v1/runs?connection={name}")


@router.post("/{name}/release", status_code=202, **rule("connections:operate"), responses=responses(*KNOWN, 422))
def release_losses(here: Here, note: Noted, name: Name) -> Queued:
    """The deletions and blanks that the brake holds are meant: take them over now. For an hour more may pass."""
    note.detail = {"losses": look.release(here.world(), name, RELEASED)}
    return _queue(here, name)


@router.post("/{name}/hint", status_code=202, **rule("hooks:write"), responses=responses(*KNOWN))
def hint_at_connection(here: Here, name: Name) -> Queued:
    """Something changed there: look soon. For remotes that can call us with a token."""
    return _queue(here, name)


class HookAddress(BaseModel):
    """Where a system may tell its news. It is shown once: who knows it can make us look there."""

    path: str = Field(examples=["/hooks/crm/…"])


@router.post("/{name}/hook-address", **rule("connections:write", shown_once=True), responses=responses(*KNOWN, 409))
def make_hook_address(here: Here, name: Name) -> HookAddress:
    """Make a new address for the system's webhooks; the former one is dead from now on."""
    return HookAddress(path=here.accounts.hook_address(name))


class Retried(BaseModel):
    """How many contacts will be tried again."""

    contacts: int


@router.post("/{name}/retry", **rule("refused:write"), responses=responses(*KNOWN, 409))
def retry_connection(here: Here, name: Name) -> Retried:
    """Try again everything that was set aside there, with the next sync."""
    return Retried(contacts=resolve.retry(here.world(), name))


class Lost(BaseModel):
    """A value of the card that the system cannot hold, or may not be told."""

    path: Pointer
    value: Any


class Altered(BaseModel):
    """A value that the system would show otherwise."""

    path: Pointer
    ours: Any
    theirs: Any


class PreviewInfo(BaseModel):
    """What a system would show of a person if the card were written there now."""

    record: str | None = Field(description="The person's record there; null: there is none yet.")
    belongs: bool = Field(description="Does the connection's filter let the person in?")
    shows: Card
    lost: list[Lost]
    altered: list[Altered]


@router.get("/{name}/preview", **rule("people:read"), responses=responses(*KNOWN, 409, 422))
def preview_mapping(
    here: Here, name: Name, person: Annotated[str, Query(max_length=64, description="The person's uid.")]
) -> PreviewInfo:
    """What becomes of a person there. Nothing is asked of the remote."""
    found = look.preview(here.world(), name, person)
    return PreviewInfo(
        record=found.record,
        belongs=found.belongs,
        shows=dict(found.shows),
        lost=[Lost(path=pointer(path), value=value) for path, value in found.lost],
        altered=[Altered(path=pointer(p), ours=ours, theirs=theirs) for p, ours, theirs in found.altered],
    )
