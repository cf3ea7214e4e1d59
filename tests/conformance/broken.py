"""Connectors that are each wrong in one way, as connectors have been, and the test of the kit that must catch it."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from connectors.card import Card, card_of, components, leaves
from connectors.consent import Channel, Consent
from connectors.contract import Account, Outcome, Page, Push, Record
from connectors.errors import CursorExpired, Error, Missing, Refused, Throttled, Unauthorised, Uncertain, Unreachable
from connectors.memory import (
    Cells,
    MemoryConnector,
    MemoryRemote,
    Profile,
    Write,
    addressbook,
    crm,
    lister,
    mailer,
    tidy_phones,
)


@dataclass(frozen=True)
class Case:
    """A broken connector, its remote, and the test (with its parameter) that is meant to catch it."""

    connector: type[MemoryConnector]
    test: str
    parameter: Any = None
    profile: Callable[[], Profile] = addressbook
    upset: Callable[[MemoryRemote], None] = lambda remote: None


CASES: list[Case] = []


def late() -> Profile:
    """An address book whose reads show the past."""
    return replace(addressbook(), lag=30.0)


def caught_by(
    test: str, parameter: Any = None, profile: Callable[[], Profile] = addressbook, **switches: Any
) -> Callable[[type[MemoryConnector]], type[MemoryConnector]]:
    """Says which test catches the connector, against which remote with which switches on."""

    def upset(remote: MemoryRemote) -> None:
        for name, value in switches.items():
            setattr(remote, name, value)

    def case(connector: type[MemoryConnector]) -> type[MemoryConnector]:
        CASES.append(Case(connector, test, parameter, profile, upset))
        return connector

    return case


# --- the account -----------------------------------------------------------------------------------------------


@caught_by("test_check_says_who_we_are")
class NoLabel(MemoryConnector):
    def check(self) -> Account:
        return replace(super().check(), label=" ")


@caught_by("test_capabilities_are_plausible")
class NoBatch(MemoryConnector):
    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self.capabilities = replace(self.capabilities, batch=0)


@caught_by("test_nothing_shows_a_secret")
class SecretInItsRepr(MemoryConnector):
    def __repr__(self) -> str:
        return f"MemoryConnector(secret={self._secret!r})"


@caught_by("test_wrong_credentials_are_told_as_such")
class SecretInAnError(MemoryConnector):
    def check(self) -> Account:
        try:
            return super().check()
        except Unauthorised:
            raise Unauthorised(f"the password {self._secret!r} was refused") from None


@caught_by("test_wrong_credentials_are_told_as_such")
class SecretInTheCause(MemoryConnector):
    def check(self) -> Account:
        try:
            return super().check()
        except Unauthorised as refused:
            raise Unauthorised("the password was refused") from ValueError(f"{self._secret} {refused}")


# --- the projection --------------------------------------------------------------------------------------------


@caught_by("test_fit_is_pure")
class FitTouchesItsArgument(MemoryConnector):
    def fit(self, card: Card, held: Card | None) -> Card:
        fitted = super().fit(card, held)
        card.pop("media", None)  # type: ignore[attr-defined]
        return fitted


@caught_by("test_fit_is_pure")
class FitRemembers(MemoryConnector):
    turn = itertools.count()

    def fit(self, card: Card, held: Card | None) -> Card:
        fitted = super().fit(card, held)
        return {name: value for name, value in fitted.items() if name != "notes" or next(self.turn) % 2}


@caught_by("test_fit_is_stable")
class FitShortensEachTime(MemoryConnector):
    def fit(self, card: Card, held: Card | None) -> Card:
        fitted = leaves(super().fit(card, held))
        return card_of({path: v[1:] if path[-1] == "note" and len(v) > 1 else v for path, v in fitted.items()})


@caught_by("test_fit_keeps_slots", profile=crm)
class MovesSlots(MemoryConnector):
    """What comes first takes the first slot, whatever stands there."""

    def fit(self, card: Card, held: Card | None) -> Card:
        return super().fit(card, None)


@caught_by("test_fit_keeps_element_ids")
class FitMintsIds(MemoryConnector):
    def fit(self, card: Card, held: Card | None) -> Card:
        fitted = dict(super().fit(card, held))
        if "emails" in fitted:
            fitted["emails"] = {f"mail{n}": e for n, e in enumerate(fitted["emails"].values())}
        return fitted


@caught_by("test_fit_invents_nothing", profile=crm)
class UnknownSurname(MemoryConnector):
    def fit(self, card: Card, held: Card | None) -> Card:
        fitted = super().fit(card, held)
        return fitted if "name" in fitted else {**fitted, "name": {"components": components({"surname": "Unknown"})}}


@caught_by("test_fit_invents_nothing")
class FitMakesUpYears(MemoryConnector):
    def fit(self, card: Card, held: Card | None) -> Card:
        return card_of(_with_years(leaves(super().fit(card, held))))


@caught_by("test_fit_stays_within_the_capabilities")
class ClaimsLess(MemoryConnector):
    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self.capabilities = replace(self.capabilities, fields=self.capabilities.fields - {"notes"})


@caught_by("test_fit_holds_what_is_promised")
class ClaimsMore(MemoryConnector):
    def fit(self, card: Card, held: Card | None) -> Card:
        return {name: value for name, value in super().fit(card, held).items() if name != "notes"}


# --- reading ---------------------------------------------------------------------------------------------------


@caught_by("test_a_record_reads_the_same_everywhere", profile=crm, reformat=tidy_phones)
@caught_by("test_a_value_can_be_cleared", "notes", profile=crm, reformat=lambda cells: _notes_stay(cells))
class AnswersWhatWasSent(MemoryConnector):
    """Takes what it sent for what is stored."""

    def _outcomes(self, pushes: Sequence[Push], answers: Sequence[Any]) -> Iterator[Outcome]:
        sent = {push.ref: push for push in pushes}
        for outcome in super()._outcomes(pushes, answers):
            if outcome.record and outcome.record.card is not None:
                cells = self.profile.cells(sent[outcome.ref].card or {})
                yield replace(outcome, record=replace(outcome.record, card=self.profile.view(cells)))
            else:
                yield outcome


@caught_by("test_a_record_reads_the_same_everywhere", profile=lister, lying=True)
@caught_by("test_an_answered_version_is_good_for_the_next_write", profile=lister, lying=True)
class TrustsTheAnsweredVersion(MemoryConnector):
    def _outcomes(self, pushes: Sequence[Push], answers: Sequence[Any]) -> Iterator[Outcome]:
        told = dict(answer for answer in answers if isinstance(answer, tuple))
        for outcome in super()._outcomes(pushes, answers):
            if outcome.record and outcome.record.id in told:
                yield replace(outcome, record=replace(outcome.record, version=told[outcome.record.id]))
            else:
                yield outcome


@caught_by("test_views_are_deterministic_json")
class CountsItsElements(MemoryConnector):
    number = itertools.count()

    def _record(self, state: Any) -> Record:
        record = super()._record(state)
        emails = {f"{next(self.number)}": e for e in (record.card or {}).get("emails", {}).values()}
        return replace(record, card={**(record.card or {}), "emails": emails} if record.card else None)


@caught_by("test_views_are_deterministic_json")
class RawIsNoJson(MemoryConnector):
    def _record(self, state: Any) -> Record:
        return replace(super()._record(state), raw={1: "one"})


@caught_by("test_a_full_listing_names_every_record_once")
class DropsAPage(MemoryConnector):
    def _everything(self, cursor: Any | None) -> Iterator[Page]:
        for number, page in enumerate(super()._everything(cursor)):
            if number != 1:
                yield page


@caught_by("test_a_full_listing_names_every_record_once", short_pages=True)
class ShortPageIsTheLast(MemoryConnector):
    """Takes a page that is not full for the last one."""

    def _everything(self, cursor: Any | None) -> Iterator[Page]:
        for page in super()._everything(cursor):
            last = len(page.records) < self.profile.page
            yield replace(page, complete=last)
            if last:
                return


@caught_by("test_a_full_listing_names_every_record_once")
class EveryPageIsComplete(MemoryConnector):
    def _everything(self, cursor: Any | None) -> Iterator[Page]:
        for page in super()._everything(cursor):
            yield replace(page, complete=True)


@caught_by("test_a_full_listing_names_every_record_once")
class SameRecordTwice(MemoryConnector):
    """Pages by offset while the order moves."""

    def _everything(self, cursor: Any | None) -> Iterator[Page]:
        before: Sequence[Record] = ()
        for page in super()._everything(cursor):
            yield replace(page, records=[*before[-1:], *page.records])
            before = page.records


@caught_by("test_an_edit_is_news")
class NewsIsComplete(MemoryConnector):
    """Says of a delta that it named every record."""

    def _news(self, cursor: Any) -> Iterator[Page]:
        for page in super()._news(cursor):
            yield replace(page, complete=True)


@caught_by("test_an_edit_is_news")
class SeesOnlyNewcomers(MemoryConnector):
    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self.met: set[str] = set()

    def changes(self, cursor: Any | None) -> Iterator[Page]:
        for page in super().changes(cursor):
            new = [record for record in page.records if record.id not in self.met]
            self.met.update(record.id for record in new)
            yield replace(page, records=new)


@caught_by("test_a_new_record_is_news_once")
class NewsTwice(MemoryConnector):
    def _news(self, cursor: Any) -> Iterator[Page]:
        for page in super()._news(cursor):
            yield replace(page, records=[*page.records, *page.records])


@caught_by("test_a_deletion_is_news")
class SwallowsTombstones(MemoryConnector):
    def _news(self, cursor: Any) -> Iterator[Page]:
        for page in super()._news(cursor):
            yield replace(page, records=[record for record in page.records if record.card is not None])


@caught_by("test_a_deletion_is_news", profile=crm)
class NeverLists(MemoryConnector):
    """Without tombstones, says that a delta proves what is there."""

    def _present(self, cursor: Any) -> Iterator[Page]:
        yield from ()

    def _everything(self, cursor: Any | None) -> Iterator[Page]:
        for page in super()._everything(cursor):
            yield replace(page, complete=False)


@caught_by("test_whom_we_made_is_missed_before_they_were_shown", profile=late)
class MissesOnlyWhomItShowed(MemoryConnector):
    """Compares what it showed with what is there."""

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self.shown: set[str] = set()

    def changes(self, cursor: Any | None) -> Iterator[Page]:
        for page in super().changes(cursor):
            told = [record for record in page.records if record.card is not None or record.id in self.shown]
            self.shown.update(record.id for record in told)
            yield replace(page, records=told)


@caught_by("test_nothing_new_is_silence")
class CursorNeverMoves(MemoryConnector):
    def _news(self, cursor: Any) -> Iterator[Page]:
        for page in super()._news(cursor):
            yield replace(page, cursor=cursor)


@caught_by("test_nothing_new_is_silence")
class AsksTooMuch(MemoryConnector):
    """Reads each record to see whether it is news."""

    def changes(self, cursor: Any | None) -> Iterator[Page]:
        for key in self.remote.cards():
            for _ in range(3):
                self._get(self.remote.fetch, [key])
        yield from super().changes(cursor)


@caught_by("test_news_goes_on_where_a_page_ended")
class CursorRunsAhead(MemoryConnector):
    """Gives the last place with the first page."""

    def _news(self, cursor: Any) -> Iterator[Page]:
        pages = list(super()._news(cursor))
        for page in pages:
            yield replace(page, cursor=pages[-1].cursor)


@caught_by("test_a_broken_off_listing_goes_on")
class ListingCursorRunsAhead(MemoryConnector):
    def _everything(self, cursor: Any | None) -> Iterator[Page]:
        pages = list(super()._everything(cursor))
        for page in pages:
            yield replace(page, cursor=pages[-1].cursor)


@caught_by("test_a_missing_record_reads_as_deleted")
class SaysNothingOfTheMissing(MemoryConnector):
    def read(self, ids: Sequence[str]) -> Iterator[Record]:
        return (record for record in super().read(ids) if record.card is not None)


@caught_by("test_a_cursor_of_nobody_expires")
class TakesAnyCursor(MemoryConnector):
    def _news(self, cursor: Any) -> Iterator[Page]:
        try:
            yield from super()._news(cursor)
        except CursorExpired:
            yield Page(cursor=cursor)


@caught_by("test_a_forgotten_cursor_expires")
class RefusesAForgottenCursor(MemoryConnector):
    """Takes the 410 for trouble with the record."""

    def _news(self, cursor: Any) -> Iterator[Page]:
        try:
            yield from super()._news(cursor)
        except CursorExpired as expired:
            raise Refused(str(expired)) from None


# --- writing ---------------------------------------------------------------------------------------------------


@caught_by("test_what_is_put_can_be_got", "three phones")
@caught_by("test_a_whole_card_can_be_got")
class ForgetsTheSecondPhone(MemoryConnector):
    def _difference(self, push: Push) -> Write | None:
        write = super()._difference(push)
        if not write or not write.cells:
            return write
        rows = list(dict.fromkeys(path[1] for path in write.cells if path[0] == "phones"))
        return replace(write, cells={p: v for p, v in write.cells.items() if p[0] != "phones" or p[1] in rows[:1]})


@caught_by("test_what_is_put_can_be_got", "birthday without a year")
class YearlessBirthdayGetsAYear(MemoryConnector):
    def _difference(self, push: Push) -> Write | None:
        write = super()._difference(push)
        return replace(write, cells=_with_years(write.cells)) if write and write.cells else write


@caught_by("test_what_is_put_can_be_got", "emoji")
class LosesEmoji(MemoryConnector):
    def _difference(self, push: Push) -> Write | None:
        write = super()._difference(push)
        if not write or not write.cells:
            return write
        cells = {p: v.encode("ascii", "replace").decode() if isinstance(v, str) else v for p, v in write.cells.items()}
        return replace(write, cells=cells)


@caught_by("test_a_photo_comes_with_its_bytes")
class PhotoWithoutBytes(MemoryConnector):
    def _record(self, state: Any) -> Record:
        return replace(super()._record(state), blobs={})


@caught_by("test_an_update_changes_only_what_changed", "notes")
class RebuildsInsteadOfPatching(MemoryConnector):
    """Sends the whole record as we know it; what we do not know of is lost."""

    def _difference(self, push: Push) -> Write | None:
        write = super()._difference(push)
        if not write or not push.held or push.card is None:
            return write
        return replace(write, cells=self.profile.cells(push.card), whole=True)


@caught_by("test_an_update_changes_only_what_changed", "emails")
class WritesTheProjection(MemoryConnector):
    """Writes all that it knows of our card, and clears the rest."""

    def _difference(self, push: Push) -> Write | None:
        write = super()._difference(push)
        if not write or not push.held or not write.cells:
            return write
        other = {path: None for path in self.profile.cells(push.held.card or {}) if path[0] == "notes"}
        return replace(write, cells={**other, **write.cells})


@caught_by("test_a_value_can_be_cleared", "notes")
@caught_by("test_an_element_comes_and_goes", "phones")
class NeverClears(MemoryConnector):
    def _difference(self, push: Push) -> Write | None:
        write = super()._difference(push)
        if not write or not write.cells:
            return write
        return replace(write, cells={path: value for path, value in write.cells.items() if value is not None})


@caught_by("test_nothing_to_write_costs_nothing")
class WritesAnyway(MemoryConnector):
    def _difference(self, push: Push) -> Write | None:
        write = super()._difference(push)
        return write or Write(push.held.id if push.held else None, {}, push.held.version if push.held else None)


@caught_by("test_our_key_comes_back")
class TakesAnyIdForOurKey(MemoryConnector):
    def _record(self, state: Any) -> Record:
        return replace(super()._record(state), key=state.id)


@caught_by("test_a_missing_record_cannot_be_updated")
class UpdateOfTheMissingCreates(MemoryConnector):
    """An upsert."""

    def write(self, pushes: Sequence[Push]) -> Iterator[Outcome]:
        by_ref = {push.ref: push for push in pushes}
        for outcome in super().write(pushes):
            push = by_ref[outcome.ref]
            if isinstance(outcome.error, Missing) and push.card is not None:
                yield from super().write([replace(push, held=None)])
            else:
                yield outcome


@caught_by("test_a_missing_record_cannot_be_updated")
class WritingToTheMissingSucceeds(MemoryConnector):
    def write(self, pushes: Sequence[Push]) -> Iterator[Outcome]:
        by_ref = {push.ref: push for push in pushes}
        for outcome in super().write(pushes):
            if isinstance(outcome.error, Missing):
                yield Outcome(outcome.ref, by_ref[outcome.ref].held)
            else:
                yield outcome


@caught_by("test_a_missing_record_cannot_be_deleted")
class RefusesToDeleteTheMissing(MemoryConnector):
    def write(self, pushes: Sequence[Push]) -> Iterator[Outcome]:
        for outcome in super().write(pushes):
            yield replace(outcome, error=Refused("not found")) if isinstance(outcome.error, Missing) else outcome


@caught_by("test_a_stale_write_is_refused")
class IgnoresTheVersion(MemoryConnector):
    def _difference(self, push: Push) -> Write | None:
        write = super()._difference(push)
        return replace(write, version=None) if write else None


@caught_by("test_more_pushes_than_fit_one_request")
class IgnoresTheBatchSize(MemoryConnector):
    def write(self, pushes: Sequence[Push]) -> Iterator[Outcome]:
        return self._batch(pushes)


@caught_by("test_more_pushes_than_fit_one_request")
class MixesUpAnswers(MemoryConnector):
    """Trusts that answers come in the order of the questions."""

    def write(self, pushes: Sequence[Push]) -> Iterator[Outcome]:
        outcomes = list(super().write(pushes))
        refs = [outcome.ref for outcome in outcomes]
        return (replace(outcome, ref=ref) for outcome, ref in zip(outcomes, reversed(refs), strict=True))


@caught_by("test_one_bad_record_spoils_nothing")
class OneBadRecordKillsTheBatch(MemoryConnector):
    def _batch(self, pushes: Sequence[Push]) -> Iterator[Outcome]:
        outcomes = list(super()._batch(pushes))
        error = next((outcome.error for outcome in outcomes if outcome.error), None)
        return (Outcome(o.ref, error=error) if error else o for o in outcomes)


@caught_by("test_one_bad_record_spoils_nothing")
class ForgetsTheBadOne(MemoryConnector):
    def write(self, pushes: Sequence[Push]) -> Iterator[Outcome]:
        return (outcome for outcome in super().write(pushes) if outcome.error is None)


# --- trouble ---------------------------------------------------------------------------------------------------


@caught_by("test_a_create_without_an_answer_is_looked_up", "error_after")
@caught_by("test_a_create_without_an_answer_is_looked_up", "lost_after")
class RetriesCreatesBlindly(MemoryConnector):
    def write(self, pushes: Sequence[Push]) -> Iterator[Outcome]:
        by_ref = {push.ref: push for push in pushes}
        for outcome in super().write(pushes):
            if isinstance(outcome.error, Uncertain):
                yield from super().write([by_ref[outcome.ref]])
            else:
                yield outcome


@caught_by("test_a_create_without_an_answer_is_looked_up", "lost_after")
class UncertainIsUnreachable(MemoryConnector):
    """Says that nothing took effect, without knowing."""

    def write(self, pushes: Sequence[Push]) -> Iterator[Outcome]:
        for outcome in super().write(pushes):
            if isinstance(outcome.error, Uncertain):
                raise Unreachable(str(outcome.error))
            yield outcome


@caught_by("test_a_create_without_an_answer_is_looked_up", "error_after")
class FindsNothing(MemoryConnector):
    def find(self, pushes: Sequence[Push]) -> Iterator[tuple[str, Record]]:
        return iter(())


@caught_by("test_a_create_that_was_lost_is_not_found")
@caught_by("test_finding_nothing_is_no_error")
class FindsAnybody(MemoryConnector):
    def find(self, pushes: Sequence[Push]) -> Iterator[tuple[str, Record]]:
        return ((pushes[0].ref, record) for page in self.changes(None) for record in page.records)


@caught_by("test_too_many_requests_are_waited_for_or_told")
class ThrottledIsDown(MemoryConnector):
    def _call(self, endpoint: Callable[..., Any], *parts: Any) -> Any:
        try:
            return super()._call(endpoint, *parts)
        except Throttled as throttled:
            raise Unreachable(str(throttled)) from None


@caught_by("test_a_remote_that_is_down_is_unreachable")
class DownMeansBadCredentials(MemoryConnector):
    def _call(self, endpoint: Callable[..., Any], *parts: Any) -> Any:
        try:
            return super()._call(endpoint, *parts)
        except Unreachable as down:
            raise Unauthorised(str(down)) from None


@caught_by("test_a_web_page_is_no_answer", True)
class StumblesOverHtml(MemoryConnector):
    """Any answer is taken for JSON."""

    def _call(self, endpoint: Callable[..., Any], *parts: Any) -> Any:
        try:
            return super()._call(endpoint, *parts)
        except Uncertain as unknown:
            if "web page" in str(unknown):
                json.loads("<html>")
            raise


@caught_by("test_a_web_page_is_no_answer", True)
class HtmlIsAnEmptyListing(MemoryConnector):
    def changes(self, cursor: Any | None) -> Iterator[Page]:
        try:
            yield from super().changes(cursor)
        except Error:
            yield Page(complete=True)


@caught_by("test_a_web_page_is_no_answer", False)
class HtmlMeansMissing(MemoryConnector):
    def read(self, ids: Sequence[str]) -> Iterator[Record]:
        try:
            yield from super().read(ids)
        except Error:
            yield from (Record(key, None) for key in ids)


@caught_by("test_a_broken_connection_is_told_as_such")
class BrokenConnectionIsUncertain(MemoryConnector):
    """Says of a question that it may have taken effect."""

    def _get(self, endpoint: Callable[..., Any], *parts: Any) -> Any:
        return self._call(endpoint, *parts)


# --- consent ------------------------------------------------------------------------------------------------------


@caught_by("test_every_place_for_consent_is_shown", None, mailer)
class SubscribesEverybody(MemoryConnector):
    """A new record agrees to everything."""

    def _said(self, push: Push, address: str) -> dict[Channel, Consent]:
        told = super()._said(push, address)
        return told if push.held else {"email": Consent("email", "", "granted"), **told}


@caught_by("test_a_profile_edit_leaves_consent_alone", None, crm)
class TakesOptOutsForNothing(MemoryConnector):
    """Only what is in the card is worth a write."""

    def _said(self, push: Push, address: str) -> dict[Channel, Consent]:
        return {}


@caught_by("test_an_opt_out_is_written_and_is_news", None, mailer)
class ShowsThatItWroteIt(MemoryConnector):
    """Reads consent when it writes, and never again."""

    def changes(self, cursor: Any | None) -> Iterator[Page]:
        for page in super().changes(cursor):
            yield replace(page, records=[replace(record, consents=()) for record in page.records])


@caught_by("test_a_profile_edit_leaves_consent_alone", None, mailer)
class SavingSubscribes(MemoryConnector):
    """Sends the status along with every save, as a famous plug-in did."""

    def _said(self, push: Push, address: str) -> dict[Channel, Consent]:
        return super()._said(push, address) or {"email": Consent("email", address, "granted")}


@caught_by("test_a_record_can_be_made_opted_out", None, crm)
class MakesFirstAndTellsNever(MemoryConnector):
    def _said(self, push: Push, address: str) -> dict[Channel, Consent]:
        return super()._said(push, address) if push.held else {}


def _with_years(cells: Cells) -> Cells:
    return {
        path: {"year": 1604, **value} if path[-1] == "date" and value and "year" not in value else value
        for path, value in cells.items()
    }


def _notes_stay(cells: Cells) -> Cells:
    """A remote that puts a note where there is none."""
    return {("notes", "description", "note"): "no note", **cells}
