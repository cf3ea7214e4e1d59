"""Writing through v4_1: a batch of pushes together, and a look at what became of it.

The server has no lock and answers success for what it did not do (note, part B). So each batch is: look at the rows as
they are, and refuse what changed; make what they need (accounts, target lists, addresses); save; link; look again, and
believe only what is shown.

- A create brings its own id, made of our key (`new_with_id`, transcript v41-02): sent twice, it would collide rather
  than make two, and after a lost answer a look at the id tells what happened. It also keeps `set_entries` from taking a
  contact of the same name and address for ours.
- An address is a bean that all who have it share, and so is its opt-out. A save that names `email1` is ignored where
  there is an address, and where there is none it sets the opt-out of that address back for everybody
  (SugarEmailAddress::AddUpdateEmailAddress). So addresses are never written with the record: a bean is looked up or
  made, with its flags, and linked.
- SugarCRM CE writes addresses and flags anew on each save of a contact (note, E-mail traps): what a save took away or
  turned over is put back at once.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import NAMESPACE_URL, uuid5

from connectors.card import email_key
from connectors.consent import Consent, shown
from connectors.contract import Outcome, Push, Record
from connectors.errors import Error, Missing, Refused, Stale, Uncertain
from connectors.sugarcrm import mapping
from connectors.sugarcrm.legacy.client import EMAIL_FIELDS, Client, Crashed, Forbidden, Link, listed
from connectors.sugarcrm.legacy.rows import KEY, moment
from connectors.sugarcrm.mapping import LISTS, ORGANIZATION, Change, flag, flags_of, module_and_row, record_id

Row = Mapping[str, Any]

NAMES_AT_ONCE: Final = 200
TWINS: Final = 3
"""How often one key may be used: once a row with its id is in the bin, the next id is taken."""


def client_id(key: str) -> str:
    """The id of a row that is made for our key."""
    return key.lower() if re.fullmatch(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", key) else _derived(key)


def twin_ids(row: str) -> list[str]:
    """The ids that a row may have, the first choice first."""
    return [row, *(_derived(f"{row}/{n}") for n in range(1, TWINS))]


def _derived(text: str) -> str:
    return str(uuid5(NAMESPACE_URL, f"concord:{text}"))


@dataclass
class Job:
    """A push on its way. record: the id it is written to. before: the row as it was. beans: ids of the addresses that
    are to be linked, by folded address."""

    push: Push
    module: str
    record: str
    change: Change
    before: Row | None = None
    account: str = ""
    beans: dict[str, str] = field(default_factory=dict)
    lists: list[str] = field(default_factory=list)

    @property
    def row(self) -> str:
        return module_and_row(self.record)[1]

    @property
    def creates(self) -> bool:
        return self.push.held is None

    @property
    def deletes(self) -> bool:
        return self.push.card is None

    def emails(self) -> dict[str, Mapping[str, Any]]:
        """The addresses that the record had, by folded address."""
        return {email_key(item["email_address"]): item for item in (self.before or {}).get("email", ())}

    def agreed(self, address: str) -> str | None:
        """What an address must show; None: as it is."""
        wanted = [c.state for c in self.push.consents if c.channel == "email" and c.place[1] == email_key(address)]
        return wanted[-1] if wanted else None


class Writer:
    """look: the rows of records as they are now, those in the bin included, by record id. key_field: where our key is
    kept, or ""."""

    def __init__(
        self,
        client: Client,
        create_as: str,
        look: Callable[[Sequence[str]], Mapping[str, Row]],
        key_field: str = "",
    ) -> None:
        self._client, self._create_as, self._look, self._key_field = client, create_as, look, key_field
        self._rebuilds: bool | None = None

    def write(self, pushes: Sequence[Push]) -> Iterator[Outcome]:
        """The outcome of each push; raises what ends the run."""
        jobs = []
        for push in pushes:
            job = self._job(push)
            if job is None:
                yield Outcome(push.ref, record=push.held)
            else:
                jobs.append(job)
        if not jobs:
            return
        ready = []
        current = self._look(self._ids(jobs))
        for job in jobs:
            try:
                self._admit(job, current)
                ready.append(job)
            except (Stale, Missing, Uncertain, Refused) as error:
                yield Outcome(job.push.ref, error=error)
        yield from self._together(ready)

    def _job(self, push: Push) -> Job | None:
        """What a push wants; None where there is nothing to write."""
        if push.held is None:
            assert push.card is not None
            change = mapping.difference(push.card, {})
            return Job(push, self._create_as, record_id(self._create_as, client_id(push.key)), change)
        module = module_and_row(push.held.id)[0]
        if push.card is None:
            return Job(push, module, push.held.id, Change())
        change = mapping.difference(push.card, push.held.card or {})
        return Job(push, module, push.held.id, change) if change or push.consents else None

    def _ids(self, jobs: Iterable[Job]) -> list[str]:
        ids: list[str] = []
        for job in jobs:
            twins = [record_id(job.module, row) for row in twin_ids(job.row)]
            ids += twins if job.creates else [job.record]
        return ids

    def _admit(self, job: Job, current: Mapping[str, Row]) -> None:
        """Is the row as the push thinks it is?"""
        if job.creates:
            for row in twin_ids(job.row):
                there = current.get(record_id(job.module, row))
                if there is None:
                    job.record = record_id(job.module, row)
                    return
                if there.get("deleted") != "1":
                    raise Uncertain(f"{job.record} is there already, perhaps from an earlier attempt")
            raise Refused(
                "this contact was made and deleted in SugarCRM too often; undelete it there, or import it anew"
            )
        there = current.get(job.record)
        if there is None or there.get("deleted") == "1":
            raise Missing(f"{job.record} is not in SugarCRM any more")
        held = job.push.held
        if held and held.version is not None and record_of(job.module, there).version != held.version:
            raise Stale(f"{job.record} was changed in SugarCRM meanwhile")
        job.before = there

    # --- a batch -----------------------------------------------------------------------------------------------------

    def _together(self, jobs: Sequence[Job]) -> Iterator[Outcome]:
        """Write these, and tell what became of each. Where the server failed on the batch or refused it, what it left
        out is tried one by one: one of them was the cause."""
        if not jobs:
            return
        lost = self._attempt(jobs)
        after = self._look([job.record for job in jobs])
        if self._damaged(jobs, after):
            after = self._look([job.record for job in jobs])
        for job in jobs:
            outcome = self._judged(job, after.get(job.record), lost)
            if outcome.error is not None and isinstance(lost, Crashed | Refused) and len(jobs) > 1:
                yield from self._together([job])
            else:
                yield outcome

    def _attempt(self, jobs: Sequence[Job]) -> Error | None:
        """Write; the error that left it open what took effect."""
        try:
            self._prepare(jobs)
            self._save(jobs)
            self._relate(jobs)
        except Forbidden as error:
            return Refused(f"{error}; give the role the right, or use another user")
        except (Refused, Uncertain) as error:
            return error
        return None

    # --- what records need -------------------------------------------------------------------------------------------

    def _prepare(self, jobs: Sequence[Job]) -> None:
        names = {job.change.columns.get(ORGANIZATION, "") for job in jobs if job.module == "Contacts"}
        accounts = self._named("Accounts", "accounts", names, {})
        wanted = {name for job in jobs for name in job.change.lists.added}
        lists = self._named("ProspectLists", "prospect_lists", wanted, {"list_type": "default"})
        for job in jobs:
            if job.module == "Contacts":
                job.account = accounts.get(job.change.columns.get(ORGANIZATION, ""), "")
            job.lists = [lists[name] for name in job.change.lists.added]
        self._addresses(jobs)

    def _named(self, module: str, table: str, names: Iterable[str], more: Mapping[str, Any]) -> dict[str, str]:
        """The ids of these names: the oldest bean of exactly that name, else of that name but for letter case, else a
        new one. None is ever renamed because of one contact."""
        wanted = sorted(filter(None, names))
        if not wanted:
            return {}
        where = f"{table}.name in {listed(wanted)}"
        rows = self._client.rows(module, where, ["id", "name", "date_entered"], size=len(wanted) + NAMES_AT_ONCE)
        rows.sort(key=lambda row: (row.get("date_entered", ""), row["id"]))
        found: dict[str, str] = {}
        for folded in (str, str.casefold):
            known: dict[str, str] = {}
            for row in rows:
                known.setdefault(folded(row.get("name", "")), row["id"])
            found |= {name: known[folded(name)] for name in wanted if name not in found and folded(name) in known}
        absent = list({name.casefold(): name for name in wanted if name not in found}.values())
        if absent:
            made = self._made(module, [{"name": name, **more} for name in absent])
            fresh = dict(zip((name.casefold() for name in absent), made, strict=True))
            found |= {name: fresh[name.casefold()] for name in wanted if name not in found}
        return found

    def _made(self, module: str, beans: Sequence[Mapping[str, Any]]) -> list[str]:
        """Ids of new beans."""
        ids = self._client.save(module, beans)
        if len(ids) != len(beans):
            raise Refused(
                f"this user may not create {module} in SugarCRM; give the role the right, or use another user"
            )
        return ids

    def _addresses(self, jobs: Sequence[Job]) -> None:
        """Find or make the beans of addresses that come, and set the flags that must be shown before anything is
        linked to them."""
        new = {email_key(a): a for job in jobs if not job.deletes for a in job.change.emails.added}
        known = self._beans(new.values())
        states = {at: state for job in jobs for at, a in self._touched(job) if (state := job.agreed(a)) is not None}
        absent = [at for at in new if at not in known]
        if absent:
            beans = [
                {"email_address": new[at], "email_address_caps": caps(new[at]), **_flags({}, states.get(at))}
                for at in absent
            ]
            made = self._made("EmailAddresses", beans)
            known |= {at: {**bean, "id": id_} for at, bean, id_ in zip(absent, beans, made, strict=True)}
        there = {at: item for job in jobs for at, item in job.emails().items()} | known
        self._flag([(there[at], flags_of(there[at], state)) for at, state in states.items() if at in there])
        for job in jobs:
            job.beans = {email_key(a): known[email_key(a)]["id"] for a in job.change.emails.added if not job.deletes}

    def _touched(self, job: Job) -> list[tuple[str, str]]:
        """(folded, as written) of the addresses that the record has or gets."""
        return [*((at, str(item["email_address"])) for at, item in job.emails().items())] + [
            (email_key(address), address) for address in job.change.emails.added
        ]

    def _beans(self, addresses: Iterable[str]) -> dict[str, Mapping[str, Any]]:
        wanted = sorted({caps(address) for address in addresses})
        if not wanted:
            return {}
        where = f"email_addresses.email_address_caps in {listed(wanted)}"
        rows = self._client.rows("EmailAddresses", where, EMAIL_FIELDS, size=len(wanted) + NAMES_AT_ONCE)
        # Two beans of one address are a fault of the past; the one that says no counts.
        rows.sort(key=lambda row: (not flag(row.get("opt_out")), row["id"]), reverse=True)
        return {email_key(row.get("email_address", "")): row for row in rows}

    def _flag(self, wanted: Iterable[tuple[Mapping[str, Any], Mapping[str, bool]]]) -> None:
        """Set flags of addresses that are otherwise."""
        beans = [{"id": item["id"], **bits(flags)} for item, flags in wanted if flags_of(item) != dict(flags)]
        if beans:
            self._client.save("EmailAddresses", beans)

    # --- saving ------------------------------------------------------------------------------------------------------

    def _save(self, jobs: Sequence[Job]) -> None:
        by_module: dict[str, list[Mapping[str, Any]]] = {}
        for job in jobs:
            bean = self._bean(job)
            if bean:
                by_module.setdefault(job.module, []).append({"id": job.row, **bean})
        for module, beans in by_module.items():
            self._client.save(module, beans)

    def _bean(self, job: Job) -> dict[str, Any]:
        """The fields to be saved."""
        if job.deletes:
            # The bin keeps a row for ever; of one who asked to be forgotten nothing is left in it.
            blank = dict.fromkeys(mapping.COLUMNS, "") if job.push.erase else {}
            blank.pop(ORGANIZATION, None)
            return {**blank, "deleted": 1}
        bean: dict[str, Any] = dict(job.change.columns)
        if job.module == "Contacts":
            bean.pop(ORGANIZATION, None)
            if job.account:
                bean["account_id"] = job.account
        silent = mapping.do_not_call(job.push.consents)
        if silent is not None and silent != flag((job.before or {}).get("do_not_call")):
            bean["do_not_call"] = str(int(silent))
        if job.creates:
            filled = {name: value for name, value in bean.items() if value != ""}
            key = {self._key_field: mapping.KEY_PREFIX + job.push.key} if self._key_field else {}
            return {"new_with_id": True, "assigned_user_id": self._client.user.id, **key, **filled}
        return bean

    # --- linking -----------------------------------------------------------------------------------------------------

    def _relate(self, jobs: Sequence[Job]) -> None:
        links = [link for job in jobs for link in self._links(job)]
        if links:
            self._client.relate(links)

    def _links(self, job: Job) -> Iterator[Link]:
        """What must be linked and unlinked; what goes first, so that there is one primary address at any time."""
        if job.deletes:
            if job.push.erase:
                yield from self._unlinked(job, "email_addresses", [item["id"] for item in job.emails().values()])
                yield from self._unlinked(job, "prospect_lists", [item["id"] for item in _lists(job.before)])
            return
        emails = job.emails()
        if job.module == "Contacts" and job.change.columns.get(ORGANIZATION) == "" and job.before:
            yield from self._unlinked(job, "accounts", filter(None, [str(job.before.get("account_id") or "")]))
        gone = [emails[at]["id"] for a in job.change.emails.removed if (at := email_key(a)) in emails]
        yield from self._unlinked(job, "email_addresses", gone)
        names = {name.strip().casefold() for name in job.change.lists.removed}
        left = [item["id"] for item in _lists(job.before) if str(item["name"]).strip().casefold() in names]
        yield from self._unlinked(job, "prospect_lists", left)
        yield from self._primary(job, emails, gone)
        if job.lists:
            yield Link(job.module, job.row, "prospect_lists", job.lists, {})

    def _unlinked(self, job: Job, name: str, others: Iterable[str]) -> Iterator[Link]:
        ids = list(others)
        if ids:
            yield Link(job.module, job.row, name, ids, {}, delete=True)

    def _primary(self, job: Job, emails: Mapping[str, Row], gone: Sequence[str]) -> Iterator[Link]:
        """Links of new addresses, and which one is the primary one: a field of the link."""
        main = email_key(job.change.primary)
        standing = {at: item["id"] for at, item in emails.items() if item["id"] not in gone}
        if main:
            former = [standing[at] for at, item in emails.items() if at in standing and flag(item["primary_address"])]
            if former:
                yield Link(job.module, job.row, "email_addresses", former, {"primary_address": 0})
        beans = {**({main: standing[main]} if main in standing else {}), **job.beans}
        for at, bean in beans.items():
            yield Link(job.module, job.row, "email_addresses", [bean], {"primary_address": int(at == main)})

    # --- what became of it -------------------------------------------------------------------------------------------

    def _damaged(self, jobs: Sequence[Job], after: Mapping[str, Row]) -> bool:
        """Put back what a save of SugarCRM CE took away from addresses that it was not about."""
        if not self._server_rebuilds():
            return False
        flags: list[tuple[Mapping[str, Any], Mapping[str, bool]]] = []
        links: list[Link] = []
        for job in jobs:
            row = after.get(job.record)
            if job.before is None or row is None or job.deletes:
                continue
            now = {email_key(item["email_address"]): item for item in row["email"]}
            removed = {email_key(address) for address in job.change.emails.removed}
            for at, item in job.emails().items():
                if at in removed:
                    continue
                shows = now.get(at)
                if shows is None:
                    links.append(Link(job.module, job.row, "email_addresses", [item["id"]], {"primary_address": 0}))
                wanted = flags_of(item, job.agreed(item["email_address"]))
                # An address that lost its link may have lost its flags before; nobody shows them.
                flags.append((shows or {**item, "opt_out": not wanted["opt_out"]}, wanted))
        self._flag(flags)
        if links:
            self._client.relate(links)
        return bool(links) or any(flags_of(item) != dict(wanted) for item, wanted in flags)

    def _server_rebuilds(self) -> bool:
        if self._rebuilds is None:
            self._rebuilds = self._client.server().rebuilds
        return self._rebuilds

    def _judged(self, job: Job, row: Row | None, lost: Error | None) -> Outcome:
        """What is shown is what counts."""
        ref = job.push.ref
        gone = row is None or row.get("deleted") == "1"
        if job.deletes:
            denied = Refused(f"SugarCRM did not delete {job.record}: this user may not, perhaps")
            return Outcome(ref, record=Record(job.record, None)) if gone else Outcome(ref, error=lost or denied)
        if row is None or gone:
            absent: Error = Missing(f"{job.record} is not in SugarCRM any more")
            if job.creates:
                absent = Refused("SugarCRM took the new contact, but did not store it: this user may not, perhaps")
            return Outcome(ref, error=lost or absent)
        left = unmet(job, row)
        if not left:
            return Outcome(ref, record=record_of(job.module, row))
        words = (
            f"SugarCRM took the write of {job.record}, but did not store: {', '.join(left)}; check this user's rights"
        )
        if job.creates:
            return Outcome(ref, error=Uncertain(words))
        return Outcome(ref, error=lost or Refused(words))


def unmet(job: Job, row: Row) -> list[str]:
    """The fields that are shown as they were before, although something else was sent."""
    sent, was, now = job.change.columns, _columns(job.before), _columns(row)
    left = [name for name, value in sent.items() if now[name] == was[name] != value]
    emails = {email_key(item["email_address"]) for item in row["email"]}
    left += [address for address in job.change.emails.added if email_key(address) not in emails]
    left += [address for address in job.change.emails.removed if email_key(address) in emails]
    lists = {str(item["name"]).strip().casefold() for item in _lists(row)}
    left += [name for name in job.change.lists.added if name.strip().casefold() not in lists]
    left += [name for name in job.change.lists.removed if name.strip().casefold() in lists]
    return left + [f"opt-out ({c.channel})" for c in job.push.consents if not _heard(c, row)]


def _heard(wanted: Consent, row: Row) -> bool:
    """Is an opt-out shown that was to be? What else was said may be shown by a flag that is off."""
    agreed = mapping.consents(row)
    known = any(consent.place == wanted.place for consent in agreed)
    is_out = shown(agreed, wanted.channel, wanted.address) == "withdrawn"
    return not known or is_out == (wanted.state == "withdrawn")


def _columns(row: Row | None) -> dict[str, str]:
    return mapping.columns(mapping.view(row)) if row else dict.fromkeys(mapping.COLUMNS, "")


def record_of(module: str, row: Row) -> Record:
    """A record of a row."""
    card, agreed = mapping.view(row), mapping.consents(row)
    return Record(
        id=record_id(module, row["id"]),
        card=card,
        version=mapping.version(row, card, agreed),
        modified=moment(row.get("date_modified")),
        key=mapping.key(row.get(KEY)),
        consents=agreed,
    )


def _lists(row: Row | None) -> Sequence[Mapping[str, Any]]:
    found: Sequence[Mapping[str, Any]] = (row or {}).get(LISTS, ())
    return found


def caps(address: str) -> str:
    """As PHP's strtoupper: letters of ASCII."""
    return "".join(chr(ord(c) - 32) if "a" <= c <= "z" else c for c in address)


def _flags(item: Mapping[str, Any], state: str | None) -> dict[str, str]:
    return bits(flags_of(item, state))


def bits(flags: Mapping[str, bool]) -> dict[str, str]:
    return {name: str(int(value)) for name, value in flags.items()}
