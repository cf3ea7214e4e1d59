"""The tests of the conformance kit; `connectors.testing` is where to import them from."""

from __future__ import annotations

import copy
import json
import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any, ClassVar, Final

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from connectors.card import SLOT, VALUE, Card, card_of, digest, full_name, leaves, part
from connectors.consent import CHANNELS, Channel, Consent
from connectors.contract import Account, Connector, Push, Record
from connectors.errors import (
    CursorExpired,
    Error,
    Missing,
    Refused,
    Stale,
    Throttled,
    Unauthorised,
    Uncertain,
    Unreachable,
)
from connectors.testbench import (
    BLOBS,
    PROBES,
    SAID,
    Bench,
    Held,
    Mirror,
    Subject,
    cards,
    differences,
    invented,
    live_subject,
    missing,
    said,
)

ALWAYS: Final = 1_000_000
_some: Final = settings(
    max_examples=settings.default.max_examples // 3 if settings.default else 33,
    phases=[Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink],
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
"""A third of the usual examples for each law of `fit`: there are six."""
PROFILE: Final = frozenset({*VALUE, "name", "keywords"})
_LIVE: Final = {name: value for name, value in os.environ.items() if name.startswith("CONCORD_LIVE_")}


class Conformance:
    """Subclass it as `Test…` and give it a fixture `subject`."""

    @pytest.fixture
    def subject(self) -> Subject:
        raise NotImplementedError("a conformance test needs a fixture `subject` that returns a Subject")

    @pytest.fixture
    def bench(
        self, subject: Subject, request: pytest.FixtureRequest, caplog: pytest.LogCaptureFixture
    ) -> Iterator[Bench]:
        name = str(getattr(request.function, "__name__", ""))
        if name in subject.exempt:
            pytest.skip(f"exempt: {subject.exempt[name]}")
        bench = Bench(subject)
        yield bench
        bench.close()
        bench.discreet(caplog.text)

    # --- the account ---------------------------------------------------------------------------------------

    def test_check_says_who_we_are(self, bench: Bench) -> None:
        account = bench.connector.check()
        assert isinstance(account, Account)
        assert account.label.strip(), "the label tells an admin which account this is"
        assert account.clock is None or account.clock.tzinfo, "the server's clock is aware"
        bench.discreet(account)

    def test_capabilities_are_plausible(self, bench: Bench) -> None:
        can = bench.connector.capabilities
        assert isinstance(bench.connector, Connector), "all methods of the contract are there"
        assert "name" in can.fields
        assert can.batch >= 1
        assert can.lag >= 0
        assert can.find_lag >= 0

    def test_nothing_shows_a_secret(self, bench: Bench) -> None:
        bench.discreet(bench.connector)
        bench.discreet(bench.create(bench.plain()).answer)

    # --- the projection ------------------------------------------------------------------------------------

    def test_fit_is_pure(self, bench: Bench) -> None:
        fit = bench.connector.fit

        @_some
        @given(cards(), cards())
        def law(card: Card, other: Card) -> None:
            held = fit(other, None)
            before = copy.deepcopy((card, held))
            first = fit(card, held)
            assert first == fit(copy.deepcopy(card), copy.deepcopy(held)), "the same twice"
            assert (card, held) == before, "its arguments are not touched"
            json.dumps(first)

        law()

    def test_fit_is_stable(self, bench: Bench) -> None:
        fit = bench.connector.fit

        @_some
        @given(cards(), cards())
        def law(card: Card, other: Card) -> None:
            for held in (None, fit(other, None)):
                once = fit(card, held)
                assert leaves(fit(once, held)) == leaves(once), "projecting a projection changes nothing"
                assert leaves(fit(card, once)) == leaves(once), "what stands there already is not moved"

        law()

    def test_fit_keeps_slots(self, bench: Bench) -> None:
        fit = bench.connector.fit

        @_some
        @given(cards(), cards())
        def law(card: Card, other: Card) -> None:
            held = fit(card, None)
            # Newcomers come, with other ids and every preference; what stood there stays where it stood.
            more = {name: dict(value) for name, value in card.items() if name in VALUE}
            for name in more:
                for key, element in other.get(name, {}).items():
                    more[name]["new" + key] = {**element, "pref": 1}
            fitted = fit({**card, **more}, held)
            assert _slots(held).items() <= _slots(fitted).items()
            # One goes; the others do not move up.
            for name, key in list(_slots(held)):
                fewer = {**card, name: {k: e for k, e in card[name].items() if k != key}}
                stood = {at: slot for at, slot in _slots(held).items() if at != (name, key)}
                assert stood.items() <= _slots(fit(fewer, held)).items()

        law()

    def test_fit_keeps_element_ids(self, bench: Bench) -> None:
        fit = bench.connector.fit

        @_some
        @given(cards(), cards())
        def law(card: Card, other: Card) -> None:
            fitted = fit(card, fit(other, None))
            for name in fitted.keys() & VALUE.keys():
                assert fitted[name].keys() <= card.get(name, {}).keys(), f"{name}: an id that the card does not have"

        law()

    def test_fit_invents_nothing(self, bench: Bench) -> None:
        fit = bench.connector.fit

        @_some
        @given(cards(), cards())
        def law(card: Card, other: Card) -> None:
            assert invented(fit(card, None), card) == []
            assert invented(fit(card, fit(other, None)), card) == []

        law()

    def test_fit_stays_within_the_capabilities(self, bench: Bench) -> None:
        connector = bench.connector

        @_some
        @given(cards())
        def law(card: Card) -> None:
            assert connector.fit(card, None).keys() & PROFILE <= connector.capabilities.fields

        law()

    def test_fit_holds_what_is_promised(self, bench: Bench) -> None:
        fitted = bench.connector.fit(bench.rich(), None)
        promised = {name: 1 for name in bench.connector.capabilities.fields if name in VALUE and name in bench.rich()}
        for name, number in {**promised, **bench.subject.holds}.items():
            assert len(fitted.get(name, ())) >= number, f"of {name} {number} are promised; {fitted.get(name)}"

    # --- reading -------------------------------------------------------------------------------------------

    def test_a_record_reads_the_same_everywhere(self, bench: Bench) -> None:
        held = bench.create(bench.rich())
        bench.settle()
        read = bench.read(held.record.id)
        assert read.card == held.answer.card, "the answer to a write is what is stored"
        assert read.version == held.answer.version, "the version in an answer is the one that is stored"
        assert read.key == held.answer.key
        mirror = Mirror(bench.fresh())
        mirror.pull()
        assert mirror.known[held.record.id].card == read.card
        assert mirror.known[held.record.id].version == read.version

    def test_views_are_deterministic_json(self, bench: Bench) -> None:
        held = bench.create(bench.rich())
        bench.settle()
        one, other = bench.read(held.record.id), bench.read(held.record.id, bench.fresh())
        assert one.card is not None
        assert other.card is not None
        assert digest(one.card) == digest(other.card)
        assert json.loads(json.dumps(one.card)) == one.card
        assert json.loads(json.dumps(one.raw)) == one.raw, "raw is kept as JSON"
        assert leaves(card_of(leaves(one.card))) == leaves(one.card), "the view is a card of our profile"
        assert one.modified is None or one.modified.tzinfo, "times are aware"
        assert one.card.keys() & PROFILE <= bench.connector.capabilities.fields

    def test_a_full_listing_names_every_record_once(self, bench: Bench) -> None:
        made = _crowd(bench)
        bench.settle()
        news = Mirror(bench.fresh()).pull()
        shown = Counter(record.id for record in news.shown)
        assert {held.record.id for held in made} <= shown.keys()
        assert set(shown.values()) == {1}, "no record comes twice"
        assert all(record.card is not None for record in news.shown)
        assert [page.complete for page in news.pages][:-1] == [False] * (len(news.pages) - 1)
        assert news.pages[-1].complete, "a listing from the beginning proves that it is complete on its last page"
        assert news.pages[-1].cursor is not None, "and gives the place to go on from"

    def test_a_broken_off_listing_goes_on(self, bench: Bench) -> None:
        """An engine that is stopped after any page goes on from the last cursor it stored, and misses nothing."""
        made = _crowd(bench)
        bench.settle()
        for stop in (1, 2):
            mirror = Mirror(bench.fresh())
            mirror.pull(most=stop)
            mirror.connector = bench.fresh()
            mirror.pull()
            mirror.pull()
            assert {held.record.id for held in made} <= mirror.known.keys(), f"stopped after page {stop}"

    def test_a_new_record_is_news_once(self, bench: Bench) -> None:
        mirror = bench.mirror()
        theirs = bench.create(bench.plain(), by=bench.human)
        bench.settle()
        news = mirror.pull()
        assert set(news.changed) == {theirs.record.id}
        assert Counter(record.id for record in news.shown)[theirs.record.id] == 1
        assert news.changed[theirs.record.id].card == theirs.answer.card
        assert not news.gone

    def test_an_edit_is_news(self, bench: Bench) -> None:
        theirs = bench.create(bench.plain(), by=bench.human)
        bystander = bench.create(bench.plain())
        mirror = bench.mirror()
        edited = bench.update(theirs, _renamed(theirs.card), by=bench.human)
        bench.settle()
        news = mirror.pull()
        assert set(news.changed) == {theirs.record.id}
        assert news.changed[theirs.record.id].card == edited.answer.card
        assert not news.gone
        assert bystander.record.id in mirror.known

    def test_a_deletion_is_news(self, bench: Bench) -> None:
        _needs(bench.human.capabilities.deletes, "records cannot be deleted there")
        kept, theirs = bench.create(bench.plain()), bench.create(bench.plain(), by=bench.human)
        mirror = bench.mirror()
        bench.delete(theirs, by=bench.human)
        bench.settle()
        assert _missed(bench, mirror) == {theirs.record.id}
        assert kept.record.id in mirror.known

    def test_whom_we_made_is_missed_before_they_were_shown(self, bench: Bench) -> None:
        """A record that goes before any page showed it is gone all the same."""
        _needs(bench.human.capabilities.deletes, "records cannot be deleted there")
        _needs(bench.connector.capabilities.lag > 0, "without a lag the engine looks after what it made")
        mirror = bench.mirror()
        made = bench.create(bench.plain())
        mirror.known[made.record.id] = made.record
        bench.delete(made, by=bench.human)
        bench.settle()
        assert _missed(bench, mirror) == {made.record.id}

    def test_nothing_new_is_silence(self, bench: Bench) -> None:
        """Our own echo may be heard once; then a run shows nothing, and costs next to nothing."""
        mirror = bench.mirror()
        _crowd(bench)
        for _ in range(2):
            bench.settle()
            mirror.pull()
        bench.settle()
        before = bench.requests()
        news = mirror.pull()
        after = bench.requests()
        assert [record.id for record in news.shown] == [], "records were given although nothing happened"
        assert not news.gone
        if before is not None and after is not None:
            assert after - before <= bench.subject.quiet, "a run without news costs too many requests"

    def test_news_goes_on_where_a_page_ended(self, bench: Bench) -> None:
        """The cursor of a page stands for that page: what comes after it is still to come, at whatever page we stop."""
        mirror = bench.mirror()
        began = mirror.cursor
        theirs = {held.record.id for held in _crowd(bench, by=bench.human)}
        bench.settle()
        for stop in (1, 2):
            mirror.cursor = began
            seen = set(mirror.pull(most=stop).changed)
            seen |= set(mirror.pull().changed)
            assert theirs <= seen, f"stopped after page {stop}"
            mirror.known = {key: record for key, record in mirror.known.items() if key not in theirs}
        mirror.cursor = began
        news = mirror.pull()
        if bench.connector.capabilities.tombstones or any(page.records for page in news.pages):
            assert mirror.cursor != began, "the cursor moved"

    def test_a_missing_record_reads_as_deleted(self, bench: Bench) -> None:
        _needs(bench.connector.capabilities.deletes, "records cannot be deleted there")
        gone, there = bench.create(bench.plain()), bench.create(bench.plain())
        outcome = bench.delete(gone)
        assert outcome.error is None
        assert outcome.record is not None
        assert (outcome.record.id, outcome.record.card) == (gone.record.id, None)
        bench.settle()
        records = {r.id: r for r in bench.connector.read([gone.record.id, there.record.id])}
        assert gone.record.id in records, "each id that was asked for comes"
        assert records[gone.record.id].card is None
        assert records[there.record.id].card is not None

    def test_a_cursor_of_nobody_expires(self, bench: Bench) -> None:
        for cursor in bench.subject.garbage:
            _expires(bench, bench.connector, cursor)

    def test_a_forgotten_cursor_expires(self, bench: Bench) -> None:
        expire = bench.subject.expire
        _needs(expire is not None, "the sandbox cannot forget cursors")
        assert expire is not None
        held = bench.create(bench.plain())
        mirror = bench.mirror()
        expire()
        _expires(bench, mirror.connector, mirror.cursor)
        assert held.record.id in mirror.pull().named, "a full listing is possible again"

    # --- writing -------------------------------------------------------------------------------------------

    @pytest.mark.parametrize("probe", PROBES)
    def test_what_is_put_can_be_got(self, bench: Bench, probe: str) -> None:
        """What was projected is shown; nothing is owed again."""
        fields = bench.connector.capabilities.fields
        _needs(bool(PROBES[probe].keys() & fields), f"it has no {', '.join(PROBES[probe])}")
        plain = bench.plain()
        card = {**plain, **{n: {**plain.get(n, {}), **value} for n, value in PROBES[probe].items()}}
        held = bench.create(card)
        assert missing(held.sent, held.record.card or {}, bench.eq) == []
        _owes_nothing(bench, held)

    def test_a_whole_card_can_be_got(self, bench: Bench) -> None:
        held = bench.create(bench.rich())
        assert missing(held.sent, held.record.card or {}, bench.eq) == []
        _owes_nothing(bench, held)

    def test_a_photo_comes_with_its_bytes(self, bench: Bench) -> None:
        _needs("media" in bench.connector.capabilities.fields, "it has no photos")
        held = bench.create(bench.rich())
        bench.settle()
        read = bench.read(held.record.id)
        photos = [e["uri"] for e in (read.card or {})["media"].values()]
        assert photos
        for uri in photos:
            assert read.blobs.get(uri), "a photo that the view names comes with its bytes"
        if set(photos) <= BLOBS.keys():
            assert all(read.blobs[uri] == BLOBS[uri] for uri in photos)

    @pytest.mark.parametrize("name", sorted({*VALUE, "name", "keywords"}))
    def test_an_update_changes_only_what_changed(self, bench: Bench, name: str) -> None:
        """Each field in turn is edited; every other field, and what no card knows, stays as it was."""
        held = _writable(bench, name)
        held, planted = _planted(bench, held)
        changed = _changed(held.card, name)
        _needs(changed is not None, f"there is no {name} to change")
        assert changed is not None
        after = bench.update(held, changed)
        assert missing(after.sent, after.record.card or {}, bench.eq) == []
        before, now = dict(held.record.card or {}), dict(after.record.card or {})
        before.pop(name, None), now.pop(name, None)
        assert differences(before, now, bench.eq) == [], "another field changed, too"
        _owes_nothing(bench, after)
        assert planted is None or planted(held.record.id) == "kept", "a field that no card knows was lost"

    @pytest.mark.parametrize("name", sorted(set(VALUE) - {"emails"} | {"keywords"}))
    def test_a_value_can_be_cleared(self, bench: Bench, name: str) -> None:
        held = _writable(bench, name)
        _needs(bool(held.sent.get(name)), f"there is no {name} to clear")
        after = bench.update(held, {field: value for field, value in held.card.items() if field != name})
        assert not after.sent.get(name)
        assert not (after.record.card or {}).get(name), f"{name} was to be cleared"
        bench.settle()
        assert bench.read(after.record.id).card == after.answer.card

    @pytest.mark.parametrize("name", ["emails", "phones", "addresses", "notes", "groups"])
    def test_an_element_comes_and_goes(self, bench: Bench, name: str) -> None:
        held = _writable(bench, name)
        elements = held.sent.get(name, {})
        _needs(len(elements) > 1, f"it holds no second element of {name}")
        last = sorted(elements)[-1]
        # Those that found no place go as well: one of them would take what becomes free.
        others = {key: held.card[name][key] for key in elements if key != last}
        fewer = bench.update(held, {**held.card, name: others})
        left = len((held.record.card or {})[name]) - 1
        assert len((fewer.record.card or {}).get(name, {})) == left, f"one of {name} was to go"
        assert missing(fewer.sent, fewer.record.card or {}, bench.eq) == []
        again = bench.update(fewer, {**fewer.card, name: {**fewer.card[name], "again": held.card[name][last]}})
        assert missing(again.sent, again.record.card or {}, bench.eq) == []
        _owes_nothing(bench, again)

    # --- consent -------------------------------------------------------------------------------------------

    def test_every_place_for_consent_is_shown(self, bench: Bench) -> None:
        """And a record that nobody said anything about agrees to nothing."""
        channels = bench.connector.capabilities.consents
        assert bench.connector.capabilities.optins <= channels
        held = bench.create(bench.rich())
        assert {consent.channel for consent in held.answer.consents} <= channels, "a channel that was not promised"
        assert "granted" not in said(held.answer).values(), "a create that says nothing of consent opts nobody in"
        assert said(bench.read(held.record.id)) == said(held.answer)

    def test_an_opt_out_is_written_and_is_news(self, bench: Bench) -> None:
        held, channels = _consenting(bench)
        mirror = bench.mirror()
        for channel in channels:
            held = bench.say(held, "withdrawn", channel, by=bench.human)
            assert _out(held.answer, channel), f"the answer does not show the opt-out ({channel})"
            bench.settle()
            assert held.record.id in mirror.pull().changed, f"the opt-out is no news ({channel})"
            assert _out(mirror.known[held.record.id], channel)
        again = bench.read(held.record.id)
        assert again.card == held.answer.card, "an opt-out changes nothing but consent"

    def test_a_profile_edit_leaves_consent_alone(self, bench: Bench) -> None:
        held, channels = _consenting(bench)
        for channel in channels:
            held = bench.say(held, "withdrawn", channel)
            assert _out(held.answer, channel), f"an opt-out was not written ({channel})"
        for name in ("Berta", "Clara"):
            held = bench.update(held, _renamed(held.card, name))
            assert all(_out(held.answer, channel) for channel in channels), "a profile edit took an opt-out back"
        bench.settle()
        assert all(_out(bench.read(held.record.id), channel) for channel in channels)

    def test_a_record_can_be_made_opted_out(self, bench: Bench) -> None:
        channels = _consenting(bench)[1]
        card = bench.rich()
        mail = next(iter(card["emails"].values()))["address"]
        addresses = {"email": mail, "phone": "", "sms": "", "post": ""}
        known = [
            Consent(channel, place, "withdrawn", SAID) for channel in channels for place in ("", addresses[channel])
        ]
        push = replace(bench.creation(card), consents=known)
        made = bench.created(push, card, bench.write([push])[push.ref])
        written = [channel for channel in channels if any(c.channel == channel for c in made.answer.consents)]
        assert written, "a new record shows no place for consent"
        assert all(_out(made.answer, channel) for channel in written)

    def test_nothing_to_write_costs_nothing(self, bench: Bench) -> None:
        held = bench.create(bench.rich())
        before = bench.requests()
        outcome = bench.write([bench.wanted(held, held.card)])[held.key]
        assert outcome.record == held.record, "what is there already is given back as it is held"
        assert bench.requests() == before

    def test_our_key_comes_back(self, bench: Bench) -> None:
        push = bench.creation(bench.plain())
        outcome = bench.write([push])[push.ref]
        assert outcome.record is not None
        assert outcome.record.key in (push.key, None), "key is our own key or nothing"

    def test_a_missing_record_cannot_be_updated(self, bench: Bench) -> None:
        _needs(bench.connector.capabilities.deletes, "records cannot be deleted there")
        held = bench.create(bench.plain())
        bench.delete(held)
        bench.settle()
        outcome = bench.write([bench.wanted(held, _renamed(held.card))])[held.key]
        assert isinstance(outcome.error, Missing), "writing to what is gone is no success, and makes no new record"
        assert bench.named(_surname(held.card)) == []

    def test_a_missing_record_cannot_be_deleted(self, bench: Bench) -> None:
        _needs(bench.connector.capabilities.deletes, "records cannot be deleted there")
        held = bench.create(bench.plain())
        bench.delete(held)
        bench.settle()
        outcome = bench.delete(held)
        assert isinstance(outcome.error, Missing) or (outcome.record is not None and outcome.record.card is None)

    def test_a_stale_write_is_refused(self, bench: Bench) -> None:
        _needs(bench.connector.capabilities.conditional, "it has no conditional writes")
        held = bench.create(bench.plain())
        bench.settle()
        theirs = bench.update(held, _renamed(held.card, "Berta"), by=bench.human)
        bench.settle()
        outcome = bench.write([bench.wanted(held, _renamed(held.card, "Clara"))])[held.key]
        assert isinstance(outcome.error, Stale)
        assert bench.read(held.record.id).card == theirs.answer.card, "their edit is still there"

    def test_an_answered_version_is_good_for_the_next_write(self, bench: Bench) -> None:
        held = bench.create(bench.plain())
        for given_name in ("Berta", "Clara", "Dora"):
            held = bench.update(held, _renamed(held.card, given_name))
        assert "Dora" in full_name(held.record.card or {})

    def test_more_pushes_than_fit_one_request(self, bench: Bench) -> None:
        number = bench.connector.capabilities.batch + 2
        _needs(number <= (25 if bench.subject.live else 1_002), f"{number} records are too many for a test")
        plain = {push.ref: (push, card) for card, push in ((c, bench.creation(c)) for c in _cards(bench, number))}
        outcomes = bench.write([push for push, _ in plain.values()])
        made = [bench.created(push, card, outcomes[ref]) for ref, (push, card) in plain.items()]
        assert len({held.record.id for held in made}) == number
        for held in made:
            assert _surname(held.card) in full_name(held.record.card or {}), "each outcome has its own record"

    def test_one_bad_record_spoils_nothing(self, bench: Bench) -> None:
        _needs(bench.connector.capabilities.deletes, "records cannot be deleted there")
        edited, gone = bench.create(bench.plain()), bench.create(bench.plain())
        bench.delete(gone)
        bench.settle()
        first, second = bench.creation(bench.plain()), bench.creation(bench.plain())
        good = bench.wanted(edited, _renamed(edited.card))
        outcomes = bench.write([first, bench.wanted(gone, _renamed(gone.card)), good, second])
        assert isinstance(outcomes[gone.key].error, Missing)
        for push in (first, good, second):
            assert outcomes[push.ref].error is None, "a good push failed with a bad one"
            assert _surname(push.card or {}) in full_name(bench.stored(outcomes[push.ref]))

    # --- trouble -------------------------------------------------------------------------------------------

    @pytest.mark.parametrize("trouble", ["error_after", "lost_after"])
    def test_a_create_without_an_answer_is_looked_up(self, bench: Bench, trouble: str) -> None:
        """The record may be there: nothing is sent twice, and `find` finds it."""
        faults = _faults(bench)
        bench.create(bench.plain())
        push = bench.creation(bench.plain())
        faults.add(trouble, bench.subject.creating)
        outcome = bench.write([push])[push.ref]
        faults.clear()
        bench.subject.advance(bench.connector.capabilities.find_lag + 1)
        bench.settle()
        there = bench.named(_surname(push.card or {}))
        assert len(there) == 1, "the create was to take effect once"
        if outcome.record is not None:
            assert outcome.record.id == there[0].id
            return
        assert isinstance(outcome.error, Uncertain)
        found = list(bench.connector.find([push]))
        assert [(ref, record.id) for ref, record in found] == [(push.ref, there[0].id)]
        assert found[0][1].card == there[0].card

    def test_a_create_that_was_lost_is_not_found(self, bench: Bench) -> None:
        faults = _faults(bench)
        bench.create(bench.plain())
        push = bench.creation(bench.plain())
        faults.add("lost_before", bench.subject.creating)
        outcome = bench.attempt(lambda: bench.write([push])[push.ref])
        faults.clear()
        bench.subject.advance(bench.connector.capabilities.find_lag + 1)
        bench.settle()
        if isinstance(outcome, Error):
            assert isinstance(outcome, Unreachable)
        else:
            assert isinstance(outcome.error, Uncertain)
        assert list(bench.connector.find([push])) == []

    def test_finding_nothing_is_no_error(self, bench: Bench) -> None:
        other = bench.create(bench.plain())
        bench.settle()
        assert list(bench.connector.find([bench.creation(bench.plain())])) == []
        assert bench.read(other.record.id).card is not None

    def test_too_many_requests_are_waited_for_or_told(self, bench: Bench) -> None:
        faults = _faults(bench)
        held = bench.create(bench.plain())
        faults.add("throttle", times=1, retry_after=1)
        answer = bench.attempt(lambda: bench.read(held.record.id))
        assert isinstance(answer, (Record, Throttled))
        faults.clear()
        faults.add("throttle", times=ALWAYS, retry_after=7)
        for name, act in _acts(bench, bench.connector, held).items():
            error = bench.attempt(act)
            assert isinstance(error, Throttled), f"{name}: {error!r}"
            assert error.retry_after in (None, 7.0)

    def test_a_remote_that_is_down_is_unreachable(self, bench: Bench) -> None:
        faults = _faults(bench)
        held = bench.create(bench.plain())
        faults.add("unavailable", times=ALWAYS)
        for name, act in _reads(bench, bench.connector, held).items():
            error = bench.attempt(act)
            assert isinstance(error, (Unreachable, Throttled)), f"{name}: {error!r}"

    @pytest.mark.parametrize("warm", [True, False])
    def test_a_web_page_is_no_answer(self, bench: Bench, warm: bool) -> None:
        """Where a proxy or a maintenance page answers, nothing may be taken for news, and nothing else is raised."""
        faults = _faults(bench)
        held = bench.create(bench.plain())
        connector = bench.connector if warm else bench.fresh()
        faults.add("html", times=ALWAYS)
        for name, act in _acts(bench, connector, held).items():
            answer = bench.attempt(act)
            assert isinstance(answer, Error), f"{name}: {answer!r} was made of a web page"
            assert not isinstance(answer, (Missing, CursorExpired)), f"{name}: {answer!r} was made of a web page"

    def test_a_broken_connection_is_told_as_such(self, bench: Bench) -> None:
        faults = _faults(bench)
        held = bench.create(bench.plain())
        faults.add("lost_before", times=ALWAYS)
        for name, act in _reads(bench, bench.connector, held).items():
            assert isinstance(bench.attempt(act), Unreachable), name

    def test_wrong_credentials_are_told_as_such(self, bench: Bench) -> None:
        impostor = bench.subject.impostor
        _needs(impostor is not None, "no wrong credentials were given")
        assert impostor is not None
        stranger = impostor()
        bench.opened.append(stranger)
        error = bench.attempt(stranger.check)
        assert isinstance(error, Unauthorised)
        assert str(error), "it says what to do"
        assert isinstance(bench.attempt(lambda: list(stranger.changes(None))), Unauthorised)


class LiveConformance(Conformance):
    """The kit against a real account. Set `system`; it runs where `CONCORD_LIVE_<SYSTEM>` is the path of a YAML or JSON
    file with the settings of a connection. It touches only records that it made, and removes them."""

    system: ClassVar[str]

    @pytest.fixture
    def subject(self) -> Subject:
        variable = f"CONCORD_LIVE_{self.system.upper()}"
        if variable not in _LIVE:
            pytest.skip(f"{variable} names no settings of a real account")
        return live_subject(self.system, _LIVE[variable])


# --- steps -----------------------------------------------------------------------------------------------------


def _needs(possible: bool, otherwise: str) -> None:
    if not possible:
        pytest.skip(otherwise)


def _missed(bench: Bench, mirror: Mirror) -> set[str]:
    """Who is gone: by the next news, or by a full listing where deltas cannot tell."""
    news = mirror.pull()
    if not bench.connector.capabilities.tombstones and not any(page.complete for page in news.pages):
        mirror.cursor = None
        news = mirror.pull()
    return news.gone


def _faults(bench: Bench) -> Any:
    _needs(bench.subject.faults is not None, "no faults can be made there")
    return bench.subject.faults


def _cards(bench: Bench, number: int) -> list[dict[str, Any]]:
    return [bench.plain() for _ in range(number)]


def _crowd(bench: Bench, by: Connector | None = None) -> list[Held]:
    """More records than fit one page."""
    plain = {
        push.ref: (push, card) for card, push in ((c, bench.creation(c)) for c in _cards(bench, bench.subject.crowd))
    }
    outcomes = bench.write([push for push, _ in plain.values()], by)
    return [bench.created(push, card, outcomes[ref]) for ref, (push, card) in plain.items()]


def _expires(bench: Bench, connector: Connector, cursor: Any) -> None:
    """This cursor leads to CursorExpired, or to a full listing at once; never to silence."""
    answer = bench.attempt(lambda: list(connector.changes(cursor)))
    if isinstance(answer, Error):
        assert isinstance(answer, CursorExpired)
    else:
        assert answer[-1].complete, "a place that nobody knows was taken for a place"


def _writable(bench: Bench, name: str) -> Held:
    """A record with something in every field, if it has this field."""
    _needs(name in bench.connector.capabilities.fields, f"it has no {name}")
    return bench.create(bench.rich())


def _planted(bench: Bench, held: Held) -> tuple[Held, Callable[[str], str | None] | None]:
    """The record, with something in it that no card knows, where that can be had."""
    plant = bench.subject.plant
    if plant is None:
        return held, None
    plant(held.record.id, "kept")
    bench.settle()
    return bench.hold(held.key, held.card, held.sent, bench.read(held.record.id)), bench.subject.planted


def _owes_nothing(bench: Bench, held: Held) -> None:
    again = bench.connector.fit(held.card, held.record.card)
    assert differences(held.sent, again, bench.eq) == [], "its own answer makes it owe something"


def _slots(card: Card) -> dict[tuple[str, str], str]:
    return {(path[0], path[1]): value for path, value in leaves(card).items() if path[-1] == SLOT}


def _consenting(bench: Bench) -> tuple[Held, list[Channel]]:
    """A record, and the channels for which it has a place."""
    _needs(bool(bench.connector.capabilities.consents), "it has no place for consent")
    held = bench.create(bench.rich())
    channels = [c for c in CHANNELS if any(consent.channel == c for consent in held.answer.consents)]
    assert channels, "a whole card has no place for consent"
    return held, channels


def _out(record: Record, channel: Channel) -> bool:
    return "withdrawn" in {consent.state for consent in record.consents if consent.channel == channel}


def _surname(card: Card) -> str:
    """What tells a made-up card from all others: its surname, which ends the name where a system has only one name."""
    return part(card["name"], "surname") or full_name(card).split()[-1]


def _renamed(card: Card, given_name: str = "Berta") -> Card:
    kept = [c for c in card["name"]["components"] if c["kind"] != "given"]
    return {**card, "name": {"components": [{"kind": "given", "value": given_name}, *kept]}}


_EDITS: Final[Mapping[str, Any]] = {
    "nicknames": {"n1": {"name": "Nan"}},
    "organizations": {"o1": {"name": "Weiß AG"}},
    "titles": {"t1": {"name": "Director", "organizationId": "o1"}},
    "phones": {"p1": {"number": "+49 171 5559991", "features": {"mobile": True}}},
    "anniversaries": {"b1": {"kind": "birth", "date": {"year": 1980, "month": 3, "day": 1}}},
    "notes": {"m1": {"note": "Moved to Bonn."}},
    "links": {"l1": {"uri": "https://example.org/new"}},
    "groups": {"g2": {"name": "Concordtest choir"}},
    "keywords": {"press": True},
}


def _changed(card: Card, name: str) -> Card | None:
    """The card with something edited in that field."""
    if name == "name":
        return _renamed(card)
    if name == "emails":
        first = card[name]["e1"]
        return {**card, name: {**card[name], "e1": {**first, "address": "new." + first["address"]}}}
    if name == "addresses":
        first = card[name]["a1"]
        parts = [c if c["kind"] != "locality" else {**c, "value": "Bonn"} for c in first["components"]]
        return {**card, name: {"a1": {**first, "components": parts}}}
    if name == "media":
        other = next(uri for uri in BLOBS if uri != card[name]["f1"]["uri"])
        return {**card, name: {"f1": {**card[name]["f1"], "uri": other, "size": len(BLOBS[other])}}}
    return {**card, name: {**card.get(name, {}), **_EDITS[name]}} if name in _EDITS else None


def _reads(bench: Bench, connector: Connector, held: Held) -> dict[str, Callable[[], Any]]:
    return {
        "check": connector.check,
        "changes": lambda: list(connector.changes(None)),
        "read": lambda: list(connector.read([held.record.id])),
        "find": lambda: list(connector.find([bench.creation(bench.plain())])),
    }


def _acts(bench: Bench, connector: Connector, held: Held) -> dict[str, Callable[[], Any]]:
    """Everything that can be asked of a connector; a write's error counts as if it were raised."""

    def written(push: Push) -> Any:
        outcome = bench.write([push], connector)[push.ref]
        if outcome.error:
            assert not isinstance(outcome.error, (Refused, Stale)), f"{outcome.error!r} was made of no answer"
            raise outcome.error
        return outcome

    return {
        **_reads(bench, connector, held),
        "create": lambda: written(bench.creation(bench.plain())),
        "update": lambda: written(bench.wanted(held, _renamed(held.card))),
        "delete": lambda: written(Push(held.key, held.key, held.record, None)),
    }
