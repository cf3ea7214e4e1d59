"""Connections as code: a YAML file is checked whole, then applied whole.

Every problem is told with the line it stands in. Applying the same file twice changes nothing; a connection that the
file does not name is left alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, ValidationInfo, field_validator

from app.bootstrap import Application, split_secrets
from app.consenting import Proof, accept, prove
from app.core.policy import Deletes, Direction, Policy
from app.engine.resolve import stand_still
from app.engine.world import policy_json, policy_of
from app.jobs.receiving import with_key
from app.jobs.schedule import check_quiet, check_schedule
from app.store import connections, links, outbox
from app.store.connections import Connection
from app.store.store import Unit
from connectors import registry
from connectors.card import VALUE
from connectors.contract import Settings, System

FIELDS = frozenset({*VALUE, "name", "keywords", "kind"})
BESIDE = {"consent", "purchases"}
"""What is kept beside the card, and has a direction of its own."""
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_ENV = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_BARE = re.compile(r"(?<![\"'\w])\$\{[A-Za-z_][A-Za-z0-9_]*\}")
LONGEST = 1 << 20
"""Bytes of a file that is read."""
DEEPEST = 12
"""Lists and mappings within each other; what is known here needs half of them."""
MOST_VALUES = 50_000
"""Values in a file, its aliases written out: those of aliases would be more than a machine can hold."""

Place = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong, in which line of the file (from 1) and at which key."""

    line: int
    key: str
    message: str


class BadFile(Exception):
    """The file cannot be applied; nothing was changed."""

    def __init__(self, path: str, problems: list[Problem]) -> None:
        self.path, self.problems = path, problems
        lines = [f"{path}:{p.line}: {p.key + ': ' if p.key else ''}{p.message}" for p in problems]
        super().__init__("\n".join(lines))


class Entry(BaseModel):
    """One connection as the file says it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    system: str
    settings: dict[str, Any] = Field(default_factory=dict)
    every: str | None = None
    quiet: str | None = None
    hook: SecretStr | None = None
    approve: Literal["ask", "auto"] = "ask"
    direction: Direction | None = None
    fields: dict[str, Direction] = Field(default_factory=dict)
    conflicts: Annotated[
        str | dict[Literal["prefer"], str | list[str]] | list[str], Field(union_mode="left_to_right")
    ] = "newest"
    deletes: Deletes | None = None
    blanks: Literal["erase", "keep"] = "erase"
    filter: dict[str, list[str]] = Field(default_factory=dict)

    @field_validator("name")
    @classmethod
    def _name(cls, value: str) -> str:
        if not NAME.fullmatch(value):
            raise ValueError("letters, digits, - _ and . only, 64 at most, beginning with a letter or digit")
        return value

    @field_validator("direction", mode="before")
    @classmethod
    def _off(cls, value: Any) -> Any:
        return "off" if value is False else value  # what YAML makes of a bare off

    @field_validator("fields", mode="before")
    @classmethod
    def _fields_off(cls, value: Any) -> Any:
        return {k: cls._off(v) for k, v in value.items()} if isinstance(value, dict) else value

    @field_validator("every")
    @classmethod
    def _every(cls, value: str | None) -> str | None:
        if value is not None:
            check_schedule(value)
        return value

    @field_validator("quiet")
    @classmethod
    def _quiet(cls, value: str | None) -> str | None:
        if value is not None:
            check_quiet(value)
        return value

    @field_validator("conflicts")
    @classmethod
    def _conflicts(cls, value: Any) -> Any:
        if isinstance(value, str) and value not in ("newest", "ask"):
            raise ValueError("newest, ask, {prefer: NAME} or a list of connections, best first")
        return value

    @field_validator("fields", "filter")
    @classmethod
    def _fields(cls, value: dict[str, Any], of: ValidationInfo) -> dict[str, Any]:
        if unknown := sorted(value.keys() - FIELDS - (BESIDE if of.field_name == "fields" else set())):
            raise ValueError(
                f"no field of a card is called {', '.join(unknown)}; there are: {', '.join(sorted(FIELDS))}"
            )
        return value

    def policy(self, system: System) -> Policy:
        prefer: Any = self.conflicts if isinstance(self.conflicts, list) else ()
        if isinstance(self.conflicts, dict):
            best = self.conflicts["prefer"]
            prefer = [best] if isinstance(best, str) else best
        return Policy(
            direction=self.direction or system.direction,
            fields=self.fields,
            prefer=tuple(prefer),
            ask=self.conflicts == "ask",
            deletes=self.deletes or system.deletes,
            blanks=self.blanks,
            filter={name: tuple(values) for name, values in self.filter.items()},
        )


@dataclass(frozen=True, slots=True)
class Declared:
    """A connection of the file, checked: its system is there and its settings fit. conflicts_at: where the file says
    how its conflicts are settled."""

    entry: Entry
    system: System
    settings: Settings
    conflicts_at: str | None = None


# --- reading


def read(path: Path, environment: Mapping[str, str]) -> list[Declared]:
    """The connections that the file declares. Raises BadFile with every problem found."""
    try:
        with path.open("rb") as file:
            raw = file.read(LONGEST + 1)
        text = raw.decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadFile(str(path), [Problem(1, "", f"cannot be read ({error})")]) from None
    if len(raw) > LONGEST:
        raise BadFile(str(path), [Problem(1, "", f"has more than {LONGEST:,} bytes; declare fewer connections in it")])
    reader = _Reader(path, environment)
    declared = reader.declared(reader.load(text))
    if reader.problems:
        raise BadFile(str(path), sorted(reader.problems, key=lambda problem: problem.line))
    return declared


class _Loader(yaml.SafeLoader):
    """YAML that is not nested without end: every level costs a reader a good part of its stack."""

    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        self.depth += 1
        if self.depth > DEEPEST:
            at = self.peek_event().start_mark  # type: ignore[no-untyped-call]
            raise yaml.composer.ComposerError(None, None, f"nested more than {DEEPEST} deep", at)
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node


class _Reader:
    """One reading: remembers where in the file everything stands, and collects the problems."""

    def __init__(self, path: Path, environment: Mapping[str, str]) -> None:
        self.path, self.environment = path, environment
        self.lines: dict[Place, int] = {(): 1}
        self.values = 0
        self.problems: list[Problem] = []

    def load(self, text: str) -> Any:
        try:
            node = yaml.compose(text, Loader=_Loader)
        except yaml.YAMLError as error:
            mark = getattr(error, "problem_mark", None)
            words = getattr(error, "problem", None) or str(error)
            line = mark.line if mark else 0
            bare = _BARE.search("".join(text.splitlines()[line : line + 1]))
            hint = f'; write "{bare[0]}" there, in quotes' if bare else ""
            raise BadFile(str(self.path), [Problem(line + 1, "", f"no YAML: {words}{hint}")]) from None
        return None if node is None else self._value(node, ())

    def _value(self, node: yaml.Node, at: Place) -> Any:
        self.lines.setdefault(at, node.start_mark.line + 1)
        self.values += 1
        if len(at) > DEEPEST or self.values > MOST_VALUES:
            self.say(at, "is too much with all that its aliases (*name) stand for; write out what is meant")
            raise BadFile(str(self.path), self.problems[-1:])
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, at)
        if isinstance(node, yaml.SequenceNode):
            return [self._value(item, (*at, number)) for number, item in enumerate(node.value)]
        try:
            value: Any = yaml.SafeLoader("").construct_object(node)
        except (yaml.YAMLError, ValueError):
            self.say(at, f"cannot be read as {node.tag.rpartition(':')[2]}; write it in quotes")
            return None
        return self._filled(value, at) if isinstance(value, str) else value

    def _mapping(self, node: yaml.MappingNode, at: Place) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = str(key_node.value)
            self.lines[(*at, key)] = key_node.start_mark.line + 1
            if key in found:
                self.say((*at, key), "stands here twice")
            found[key] = self._value(value_node, (*at, key))
        return found

    def _filled(self, text: str, at: Place) -> str:
        """The text with ${NAME} filled in from the environment."""

        def value(match: re.Match[str]) -> str:
            if match[1] not in self.environment:
                self.say(at, f"the environment variable {match[1]} is not set")
            return self.environment.get(match[1], "")

        return _ENV.sub(value, text)

    def say(self, at: Place, message: str) -> None:
        self.problems.append(Problem(*self._where(at), message))

    def _where(self, at: Place) -> tuple[int, str]:
        """Line and key of a place, or of the nearest one around it that the file has."""
        line = next(self.lines[at[:n]] for n in range(len(at), -1, -1) if at[:n] in self.lines)
        key = ""
        for step in at:
            key += f"[{step}]" if isinstance(step, int) else f".{step}" if key else step
        return line, key

    def declared(self, data: Any) -> list[Declared]:
        if not isinstance(data, dict) or not isinstance(data.get("connections"), list):
            self.say((), "must have a list under `connections:`")
            return []
        for key in data.keys() - {"connections"}:
            self.say((key,), "is not known here; only `connections` is")
        found = [self._entry(raw, ("connections", n)) for n, raw in enumerate(data["connections"])]
        return self._checked([declared for declared in found if declared is not None])

    def _entry(self, raw: Any, at: Place) -> Declared | None:
        if not isinstance(raw, dict):
            self.say(at, "must be a connection with name and system")
            return None
        entry: Entry | None = self._model(Entry, raw, at)
        system = self._system(raw, at)
        hidden = raw.get("settings") if isinstance(raw.get("settings"), dict) else {}
        settings = self._model(system.settings, hidden or {}, (*at, "settings")) if system else None
        if not (entry and system and settings):
            return None
        line, key = self._where((*at, "conflicts"))
        return Declared(entry, system, settings, f"{self.path}:{line}: {key}")

    def _system(self, raw: dict[str, Any], at: Place) -> System | None:
        name = raw.get("system")
        try:
            return registry.system(name) if isinstance(name, str) else None
        except registry.UnknownSystem as error:
            self.say((*at, "system"), str(error))
            return None

    def _model(self, model: type[Any], raw: dict[str, Any], at: Place) -> Any:
        try:
            return model.model_validate(raw)
        except ValidationError as error:
            for problem in error.errors(include_input=False, include_url=False):
                message = problem["msg"].removeprefix("Value error, ")
                if problem["type"] == "extra_forbidden":
                    message = f"is not known here; there are: {', '.join(model.model_fields)}"
                self.say((*at, *problem["loc"]), message)
            return None

    def _checked(self, declared: list[Declared]) -> list[Declared]:
        """What only all of them together can get wrong."""
        names = [d.entry.name for d in declared]
        for number, name in enumerate(names):
            if name in names[:number]:
                self.say(("connections", number, "name"), f"two connections are called {name}")
        return declared


# --- applying


@dataclass(frozen=True, slots=True)
class Applied:
    """What became of one declared connection. reset: it is another account now and starts over."""

    name: str
    system: str
    what: Literal["created", "updated", "unchanged", "reset"]
    approve: Literal["ask", "auto"]


def apply(app: Application, declared: list[Declared]) -> list[Applied]:
    """Make the stored connections as declared, all in one transaction.

    Raises ValueError where a preferred connection does not exist, or a name changed its system; Busy where a change
    would meet a run of that connection; Unusable where credentials are another account's, and the connector's errors
    where its remote does not say whose they are.
    """
    proofs = _proofs(app, declared)
    with app.store.begin(durable=True) as unit:
        stored = {connection.name: connection for connection in connections.every(unit)}
        known = stored.keys() | {d.entry.name for d in declared}
        if strangers := [*_strangers(declared, known)]:
            raise ValueError("\n".join(strangers))
        return [_apply_one(app, unit, d, stored.get(d.entry.name), proofs.get(d.entry.name)) for d in declared]


def _strangers(declared: Sequence[Declared], known: set[str]) -> Iterator[str]:
    """Connections that are preferred and do not exist, each with where that is said."""
    for d in declared:
        if unknown := [name for name in d.entry.policy(d.system).prefer if name not in known]:
            there = ", ".join(sorted(known))
            where = d.conflicts_at or f"{d.entry.name}: conflicts"
            yield f"{where}: no connection is called {', '.join(unknown)}; there are: {there}"


def _proofs(app: Application, declared: list[Declared]) -> dict[str, Proof]:
    """Of the connections that get other tokens by which consent could be another account's: whose they are."""
    with app.store.read() as unit:
        stored = {connection.name: connection for connection in connections.every(unit)}
    proofs = {}
    for d in declared:
        connection = stored.get(d.entry.name)
        settings, hidden = split_secrets(d.system, d.settings)
        if connection is None or connection.system != d.system.name or _is_nobody_yet(connection):
            continue
        fresh = _consented(app, d.system, connection, hidden)
        if fresh and not _is_another(d.system, connection.settings, settings):
            proofs[connection.name] = prove(app, replace(connection, settings=settings), fresh)
    return proofs


def _consented(app: Application, system: System, connection: Connection, hidden: Mapping[str, str]) -> dict[str, str]:
    """What of these secrets is not stored yet and says which account it is, where consent gives it."""
    if system.oauth is None:
        return {}
    before = app.keyring.decrypt(connection.secrets) if connection.secrets else {}
    fresh = {name: value for name, value in hidden.items() if before.get(name) != value}
    return fresh if fresh.keys() - {"client_secret"} else {}


def _is_nobody_yet(connection: Connection) -> bool:
    """Any account may be behind it still."""
    return connection.state == "new" and connection.account is None


def replace_secrets(app: Application, connection: Connection, secrets: Mapping[str, str]) -> None:
    """Other credentials for the same account. A connection that is paused for want of them goes on.

    Raises Unusable where they are another account's, and the connector's errors where its remote does not say whose.
    """
    system = registry.system(connection.system)
    fresh = {} if _is_nobody_yet(connection) else _consented(app, system, connection, secrets)
    proof = prove(app, connection, {**secrets}) if fresh else Proof(secrets, None, False, True, connection.name)
    accept(app, connection, proof)


def _apply_one(
    app: Application, unit: Unit, declared: Declared, stored: Connection | None, proof: Proof | None
) -> Applied:
    entry = declared.entry
    settings, hidden = split_secrets(declared.system, declared.settings)
    wanted = {"settings": settings, "policy": policy_json(entry.policy(declared.system)), "schedule": entry.every}
    wanted |= {"approve": entry.approve, "quiet": entry.quiet}
    if stored is None:
        secret = app.keyring.encrypt(hidden) if hidden else None
        hook = with_key(app.keyring, None, entry.hook) if entry.hook else None
        connections.add(unit, name=entry.name, system=entry.system, state="new", secrets=secret, hook=hook, **wanted)
        return Applied(entry.name, entry.system, "created", entry.approve)
    if stored.system != entry.system:
        raise ValueError(
            f"{entry.name} is a {stored.system} connection; a {entry.system} one needs another name "
            f"(or remove it first: concord connections remove {entry.name})"
        )
    changed: dict[str, Any] = {name: value for name, value in wanted.items() if getattr(stored, name) != value}
    before = app.keyring.decrypt(stored.secrets) if stored.secrets else {}
    if any(before.get(name) != value for name, value in hidden.items()):
        changed["secrets"] = app.keyring.encrypt({**before, **hidden, **(proof.secrets if proof else {})})
        if proof and proof.account:
            changed["account"] = proof.account
        connections.let_in(unit, stored)
    if entry.hook is not None and (receiving := with_key(app.keyring, stored.hook, entry.hook)) is not None:
        changed["hook"] = receiving
    if changed:
        connections.update(unit, stored.id, **changed)
    if not changed or stored.state == "new":
        return Applied(entry.name, entry.system, "updated" if changed else "unchanged", entry.approve)
    if _is_another(declared.system, stored.settings, settings):
        stand_still(app.world(), unit, entry.name)
        connections.start_over(unit, stored.id)
        return Applied(entry.name, entry.system, "reset", entry.approve)
    _look_again(app, unit, stored, changed, entry.policy(declared.system))
    return Applied(entry.name, entry.system, "updated", entry.approve)


def _is_another(system: System, before: Mapping[str, Any], after: Mapping[str, Any]) -> bool:
    """Do these settings name two accounts?"""
    names = {*before, *after} - system.settings.tuning
    return any(before.get(name) != after.get(name) for name in names)


def _look_again(app: Application, unit: Unit, stored: Connection, changed: Mapping[str, Any], policy: Policy) -> None:
    """What changed may let us see or owe more than before."""
    before = policy_of(stored.policy)
    directed = (before.direction, before.fields) != (policy.direction, policy.fields)
    if directed or "settings" in changed:
        stand_still(app.world(), unit, stored.name)
        connections.update(unit, stored.id, cursor=None)
    if directed:
        links.forget_digests(unit, stored.id, lambda field: policy.pulls(field) and not before.pulls(field))
    if "policy" in changed:
        outbox.owe_everybody(unit, stored.id)
