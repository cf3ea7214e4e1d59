"""Writing through V8: one record after another, and a look at what became of it.

What v4_1's `writing` says of ids, accounts and addresses holds here, too: V8's PATCH leaves addresses alone in silence
(transcript v8-01), and a create with `email1` sets an opt-out back that others' records brought. So an address that is
known already is linked; only where all are new do they go with the create.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from connectors.card import email_key
from connectors.contract import Outcome, Push, Record
from connectors.errors import Error, Missing, Refused, Stale, Uncertain
from connectors.sugarcrm import mapping as shared
from connectors.sugarcrm.legacy.writing import Job, bits, caps, client_id, twin_ids, unmet
from connectors.sugarcrm.mapping import ORGANIZATION, Change, flag, flags_of, module_and_row, record_id
from connectors.sugarcrm.suite8 import mapping
from connectors.sugarcrm.suite8.client import Client, Taken
from connectors.sugarcrm.suite8.mapping import ADDRESS, EMAILS

Row = Mapping[str, Any]

LINK: Final = "email_addresses"
PRIMARY_LINK: Final = "email_addresses_primary"
"""The link whose role is to be the primary address (transcript v41-01, link_fields)."""


class Writer:
    """look: the full row of a record as it is now, or None."""

    def __init__(self, client: Client, create_as: str, look: Callable[[str], Row | None]) -> None:
        self._client, self._create_as, self._look = client, create_as, look

    def write(self, push: Push) -> Outcome:
        """The outcome of a push; raises what ends the run."""
        try:
            return Outcome(push.ref, record=self._written(push))
        except (Stale, Missing, Uncertain, Refused) as error:
            return Outcome(push.ref, error=error)

    def _written(self, push: Push) -> Record:
        if push.held is None:
            return self._create(push)
        module, _ = module_and_row(push.held.id)
        change = Change() if push.card is None else shared.difference(push.card, push.held.card or {})
        if push.card is not None and not change and not push.consents:
            return push.held
        job = Job(push, module, push.held.id, change, self._admitted(push.held, module))
        if push.card is None:
            return self._delete(job)
        return self._update(job)

    def _admitted(self, held: Record, module: str) -> Row:
        """The row as it is, if it is as the push thinks."""
        row = self._look(held.id)
        if row is None:
            raise Missing(f"{held.id} is not in SuiteCRM any more")
        if held.version is not None and mapping.record(module, row).version != held.version:
            raise Stale(f"{held.id} was changed in SuiteCRM meanwhile")
        return row

    # --- what is written ---------------------------------------------------------------------------------------------

    def _create(self, push: Push) -> Record:
        assert push.card is not None
        job = Job(push, self._create_as, "", shared.difference(push.card, {}))
        known = self._beans(job.change.emails.added)
        states = [job.agreed(address) for address in job.change.emails.added]
        attributes = {name: value for name, value in self._attributes(job).items() if value != ""}
        plain = not known and len(set(states)) <= 1 and len(states) <= len(EMAILS)
        if plain and states:
            first = sorted(job.change.emails.added, key=lambda address: address != job.change.primary)
            attributes |= dict(zip(EMAILS, first, strict=False))
            flags = bits(flags_of({}, states[0]))
            attributes |= {"email_opt_out": flags["opt_out"], "invalid_email": flags["invalid_email"]}
        job.record = record_id(job.module, self._made(job, attributes))
        if not plain:
            self._link(job, known)
        return self._shown(job)

    def _made(self, job: Job, attributes: Mapping[str, Any]) -> str:
        """The id of a new row. What was in the bin once is not used again."""
        for row in twin_ids(client_id(job.push.key)):
            try:
                self._client.create(job.module, attributes, row)
                return row
            except Taken as taken:
                if self._look(record_id(job.module, row)) is not None:
                    raise Uncertain(f"{row} is there already, perhaps from an earlier attempt") from taken
            except Uncertain:
                # The server failed, or the answer was lost: what is there tells.
                if self._look(record_id(job.module, row)) is None:
                    raise
                return row
        raise Refused("this contact was made and deleted in SuiteCRM too often; undelete it there, or import it anew")

    def _update(self, job: Job) -> Record:
        known = self._beans([*job.change.emails.added, *(a for _, a in self._wanted_flags(job))])
        self._flag(job, known)
        attributes = self._attributes(job)
        lost: Error | None = None
        try:
            if attributes:
                self._client.update(job.module, job.row, attributes)
            self._link(job, known)
        except Uncertain as error:
            lost = error
        return self._shown(job, lost)

    def _attributes(self, job: Job) -> dict[str, Any]:
        attributes: dict[str, Any] = dict(job.change.columns)
        if job.module == "Contacts" and ORGANIZATION in attributes:
            name = attributes.pop(ORGANIZATION)
            attributes["account_id"] = self._account(name) if name else ""
        silent = shared.do_not_call(job.push.consents)
        if silent is not None and silent != flag((job.before or {}).get("do_not_call")):
            attributes["do_not_call"] = str(int(silent))
        return attributes

    def _account(self, name: str) -> str:
        """The oldest account of that name, else a new one."""
        rows, _ = self._client.page("Accounts", [("name", "eq", name)], ["name", "date_entered"], 100)
        rows.sort(key=lambda row: (row["name"] != name, str(row.get("date_entered")), row["id"]))
        same = [row["id"] for row in rows if str(row["name"]).casefold() == name.casefold()]
        return str(same[0]) if same else str(self._client.create("Accounts", {"name": name})["id"])

    def _delete(self, job: Job) -> Record:
        if job.push.erase:
            blank = {name: "" for name in shared.COLUMNS if name != ORGANIZATION}
            self._client.update(job.module, job.row, blank)
            for bean in self._client.linked(job.module, job.row, LINK):
                self._client.unlink(job.module, job.row, LINK, bean)
        try:
            self._client.delete(job.module, job.row)
        except Uncertain:
            if self._look(job.record) is not None:
                raise
        return Record(job.record, None)

    # --- addresses ---------------------------------------------------------------------------------------------------

    def _beans(self, addresses: Sequence[str]) -> dict[str, Row]:
        """The beans of these addresses that there are, by folded address; of two, the one that says no."""
        found: dict[str, Row] = {}
        for address in {email_key(address): address for address in addresses}.values():
            rows, _ = self._client.page("EmailAddresses", [("email_address_caps", "eq", caps(address))], ADDRESS, 10)
            rows.sort(key=lambda row: (not flag(row.get("opt_out")), row["id"]))
            if rows:
                found[email_key(address)] = rows[0]
        return found

    def _wanted_flags(self, job: Job) -> Iterator[tuple[str, str]]:
        """(state, address) of the addresses of the record about which something must be shown."""
        for item in job.emails().values():
            state = job.agreed(item["email_address"])
            if state is not None and flags_of(item) != flags_of(item, state):
                yield state, item["email_address"]

    def _flag(self, job: Job, known: Mapping[str, Row]) -> None:
        for state, address in self._wanted_flags(job):
            bean = known.get(email_key(address))
            if bean is not None:
                self._client.update("EmailAddresses", bean["id"], bits(flags_of(bean, state)))

    def _link(self, job: Job, known: Mapping[str, Row]) -> None:
        """Addresses that go, then those that come. V8 cannot say which one is primary but by the link it is made with:
        so one that is to be it, or was, is linked anew."""
        change, emails = job.change, job.emails()
        main = email_key(change.primary)
        going = [email_key(address) for address in change.emails.removed]
        coming = {email_key(address): address for address in change.emails.added}
        if main:
            moved = [at for at, item in emails.items() if at == main or flag(item["primary_address"])]
            going += [at for at in moved if at not in going]
            kept = {at: emails[at]["email_address"] for at in moved if at not in map(email_key, change.emails.removed)}
            coming = {**kept, **coming}
        beans = {**self._beans([emails[at]["email_address"] for at in going if at in emails]), **known}
        for at in going:
            if at in beans and at in emails:
                self._client.unlink(job.module, job.row, LINK, beans[at]["id"])
        for at, address in sorted(coming.items(), key=lambda pair: pair[0] != main):
            bean = beans[at]["id"] if at in beans else self._new_address(job, address)
            if at in known and (state := job.agreed(address)) and flags_of(known[at]) != flags_of(known[at], state):
                self._client.update("EmailAddresses", bean, bits(flags_of(known[at], state)))
            self._client.link(job.module, job.row, PRIMARY_LINK if at == main else LINK, bean, "EmailAddresses")
            job.beans[at] = bean

    def _new_address(self, job: Job, address: str) -> str:
        names = {"email_address": address, "email_address_caps": caps(address)}
        flags = bits(flags_of({}, job.agreed(address)))
        return str(self._client.create("EmailAddresses", {**names, **flags})["id"])

    # --- what became of it -------------------------------------------------------------------------------------------

    def _shown(self, job: Job, lost: Error | None = None) -> Record:
        """The record as it is shown. Raises what is not shown."""
        row = self._look(job.record)
        if row is None:
            raise lost or Missing(f"{job.record} is not in SuiteCRM any more")
        left = unmet(job, row)
        if any(email_key(address) in job.beans for address in left):
            # A record may have more addresses than are shown.
            there = set(self._client.linked(job.module, job.row, LINK))
            left = [name for name in left if job.beans.get(email_key(name)) not in there]
        if left:
            words = f"SuiteCRM took the write of {job.record}, but did not store: {', '.join(left)}"
            raise lost or (Uncertain(words) if job.creates else Refused(f"{words}; check this user's rights"))
        return mapping.record(job.module, row)
