"""The daemon put together: the API, with the queue behind it and what it may do to accounts and files."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from pydantic import ValidationError

import migrations
from app import configure, consenting, filing
from app.bootstrap import Application
from app.configure import Declared, Entry
from app.consenting import secret_fields
from app.engine import access
from app.engine.access import Taken
from app.engine.run import Report, find
from app.engine.world import policy_of
from app.jobs import receiving
from app.jobs.queue import Queue
from app.jobs.receiving import Receiver
from app.jobs.schedule import zone_of
from app.store import connections
from app.store.connections import Connection
from app.store.store import Store
from app.web.ports import Invalid, Place, Ports, Written
from connectors import registry
from connectors.contract import System

if TYPE_CHECKING:  # whoever only wants the token does not wait for a web framework
    from fastapi import FastAPI

UPLOADS: Final = "uploads"
TOKEN_FILE: Final = "bootstrap-token"  # noqa: S105


def build(
    application: Application,
    queue: Queue,
    stopping: Callable[[], bool] = lambda: False,
    ready: Sequence[Callable[[], str | None]] = (),
) -> FastAPI:
    """The API of this installation. stopping: is the server about to end? ready: each says what keeps the daemon from
    working now, or None."""
    from app.web.app import create_app
    from app.web.hooks import router as hooks
    from app.web.metrics import router as metrics

    ports = Ports(
        store=application.store,
        world=application.world,
        jobs=queue,
        accounts=ConfiguredAccounts(application),
        consents=consenting.Links(application),
        files=FilesOnDisk(application),
        uploads=application.settings.home / UPLOADS,
        public_url=application.settings.public_url,
        stopping=stopping,
        watch=application.watch,
        ready=[lambda: "it is about to end" if stopping() else None, lambda: _outgrown(application.store), *ready],
    )
    zone = zone_of(application.settings.timezone)
    receiver = Receiver(application.store, application.keyring, queue, zone)
    return create_app(ports, [hooks(receiver), metrics(application.store)])


def _outgrown(store: Store) -> str | None:
    """A newer Concord has changed the tables under us."""
    found = migrations.current(store.engine)
    return (
        None if found == migrations.HEAD else f"the database is of version {found}, this Concord of {migrations.HEAD}"
    )


def first_token(application: Application) -> Path | None:
    """Where nobody may use the API yet: a file (for its owner's eyes only) with a token that makes the first admin.

    None where there are users; the file of an earlier start is gone then.
    """
    file = application.settings.home / TOKEN_FILE

    def keep(token: str) -> None:
        file.unlink(missing_ok=True)
        file.parent.mkdir(parents=True, exist_ok=True)
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
            out.write(token + "\n")

    if access.bootstrap(application.store, keep):
        return file
    file.unlink(missing_ok=True)
    return None


# --- accounts


class ConfiguredAccounts:
    """See `app.web.ports.Accounts`."""

    def __init__(self, application: Application) -> None:
        self._app = application

    def systems(self) -> list[dict[str, Any]]:
        return [_described(registry.system(name)) for name in registry.names()]

    def create(self, entry: Mapping[str, Any]) -> None:
        declared = _declared(entry)
        with self._app.store.read() as unit:
            if connections.by_name(unit, declared.entry.name) is not None:
                raise Taken(f"there is a connection {declared.entry.name} already")
        configure.apply(self._app, [declared])

    def change(self, name: str, patch: Mapping[str, Any]) -> Literal["updated", "unchanged", "reset"]:
        stored = find(self._app.world(), name)
        hidden = self._app.keyring.decrypt(stored.secrets) if stored.secrets else {}
        entry = {**self.declared(stored), "name": name, "system": stored.system}
        merged = _merged(entry, {key: value for key, value in patch.items() if key != "settings"})
        merged["settings"] = _merged({**stored.settings, **hidden}, patch.get("settings") or {})
        [done] = configure.apply(self._app, [_declared(merged)])
        assert done.what != "created"
        return done.what

    def rotate(self, name: str, secrets: Mapping[str, str]) -> None:
        stored = find(self._app.world(), name)
        system = registry.system(stored.system)
        if unknown := sorted(secrets.keys() - secret_fields(system)):
            known = ", ".join(sorted(secret_fields(system))) or "none"
            raise Invalid(
                [(("secrets", key), f"{stored.system} has no such credential; there are: {known}") for key in unknown]
            )
        before = self._app.keyring.decrypt(stored.secrets) if stored.secrets else {}
        _settings(system, {**stored.settings, **before, **secrets}, ("secrets",))
        configure.replace_secrets(self._app, stored, secrets)

    def declared(self, connection: Connection) -> dict[str, Any]:
        policy = policy_of(connection.policy)
        conflicts: Any = "ask" if policy.ask else list(policy.prefer) or "newest"
        return {
            "settings": connection.settings,
            "every": connection.schedule,
            "quiet": connection.quiet,
            "approve": connection.approve,
            "direction": policy.direction,
            "fields": dict(policy.fields),
            "conflicts": conflicts,
            "deletes": policy.deletes,
            "blanks": policy.blanks,
            "filter": {name: list(values) for name, values in policy.filter.items()},
        }

    def lacks_access(self, connection: Connection) -> bool:
        return consenting.lacks_access(self._app, connection)

    def hook_address(self, name: str) -> str:
        return receiving.address(self._app.store, self._app.keyring, name, fresh=True)


def _described(system: System) -> dict[str, Any]:
    return {
        "name": system.name,
        "title": system.title,
        "direction": system.direction,
        "oauth": system.oauth is not None,
        "settings": system.settings.model_json_schema(),
        "secrets": sorted(secret_fields(system)),
    }


def _merged(held: Mapping[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
    """RFC 7396, one level deep: null takes away."""
    return {key: value for key, value in {**held, **patch}.items() if value is not None}


def _declared(entry: Mapping[str, Any]) -> Declared:
    """The entry, checked as one of a file would be. Raises Invalid."""
    given = {key: value for key, value in entry.items() if value is not None}
    try:
        read = Entry.model_validate(given)
    except ValidationError as error:
        raise _invalid(error) from None
    try:
        system = registry.system(read.system)
    except registry.UnknownSystem as error:
        raise Invalid([(("system",), str(error))]) from None
    return Declared(read, system, _settings(system, read.settings, ("settings",)))


def _settings(system: System, given: Mapping[str, Any], at: Place) -> Any:
    try:
        return system.settings.model_validate(dict(given))
    except ValidationError as error:
        raise _invalid(error, at) from None


def _invalid(error: ValidationError, at: Place = ()) -> Invalid:
    found = error.errors(include_input=False, include_url=False, include_context=False)
    return Invalid([((*at, *one["loc"]), one["msg"].removeprefix("Value error, ")) for one in found])


# --- files


class FilesOnDisk:
    """See `app.web.ports.Files`. What was imported stays in the folder of uploads: its source can be read again."""

    def __init__(self, application: Application) -> None:
        self._app = application

    def inspect(self, file: Path, columns: Mapping[str, str], encoding: str) -> dict[str, Any]:
        return filing.describe_file(file, columns, encoding=encoding)

    def take(
        self, file: Path, name: str, columns: Mapping[str, str], snapshot: bool, encoding: str
    ) -> tuple[Report, list[dict[str, str]]]:
        with self._app.store.read() as unit:
            stored = connections.by_name(unit, name)
        if stored is not None and stored.system != filing.SYSTEM:
            raise Taken(f"{name} is the name of a {stored.system} connection; choose another one for the source")
        filing.describe_file(
            file, columns, encoding=encoding
        )  # what cannot be read must not take the place of what could
        kept = self._app.settings.home / UPLOADS / f"{name}{file.suffix}"
        kept.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        file.chmod(0o600)
        file.replace(kept)
        options: dict[str, Any] = {"snapshot": snapshot, "encoding": encoding}
        return filing.import_file(self._app, kept, name, columns, **options, progress=_silent)

    def write(self, file: Path, format_: str, search: str) -> Written:
        return filing.export_file(self._app, file, format_, search, _silent)


def _silent(connection: str, phase: str, done: int, total: int | None) -> None:
    """Nobody is watching."""
