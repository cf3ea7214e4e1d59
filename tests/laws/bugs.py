"""Bugs that an engine like this is likely to have, each as a patch, with the test that must fall for it.

docs/planted-bugs.md lists them; `test_planted_bugs.py` plants one after the other.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import test_crashes as crashes
import test_each_law as law
import test_lost_answers as lost
import test_one_bad_apple as apple
import test_opt_out_sticks as optout
import test_unproven as unproven
import test_unread as unread

from app.core import consent, guard, identity, reconcile
from app.core.policy import Policy
from app.engine import consents, intake, pull, push, refusals
from app.store import connections, journal, outbox, runs
from connectors.errors import Refused
from connectors.memory import MemoryConnector

Patch = pytest.MonkeyPatch


@dataclass(frozen=True)
class Bug:
    """plant: makes the bug. falls: the test that fails then; it gets an empty folder. law: the question that it has no
    good answer to; empty: an assertion of the test itself."""

    plant: Callable[[Patch], None]
    falls: Callable[[Path], None]
    law: str = ""


BUGS: dict[str, Bug] = {}


def bug(falls: Callable[[Path], None], law: str = "") -> Callable[[Callable[[Patch], None]], Callable[[Patch], None]]:
    def register(plant: Callable[[Patch], None]) -> Callable[[Patch], None]:
        BUGS[plant.__name__.replace("_", "-")] = Bug(plant, falls, law)
        return plant

    return register


# --- the shadows


@bug(lambda _: law.test_what_is_cut_reformatted_or_forgotten_stays_in_the_card())
def the_sent_card_is_stored_as_seen(patch: Patch) -> None:
    link_of = push.link_of
    patch.setattr(push, "link_of", lambda *a, seen, sent, places: link_of(*a, seen=sent, sent=sent, places=places))


@bug(lambda _: law.test_what_is_cut_reformatted_or_forgotten_stays_in_the_card())
def a_reformatted_answer_is_an_edit(patch: Patch) -> None:
    patch.setattr(push, "answered", lambda seen, answer, paths: seen)


@bug(lambda _: law.test_a_remote_that_shows_the_past_for_a_while_does_not_bring_it_back(120.0))
def old_reads_are_news(patch: Patch) -> None:
    patch.setattr(intake.Intake, "_is_news", lambda self, news, link: news.digest != link.digest)


@bug(lambda _: law.test_a_change_costs_one_write_in_each_other_system_and_one_field_of_it())
def everything_is_pushed_rather_than_what_changed(patch: Patch) -> None:
    def owed(card: Any, seen: Any, sent: Any, **kind: Any) -> Any:
        return reconcile.owed(card, seen, {}, **kind)

    patch.setattr(push, "owed", owed)


@bug(lambda _: law.test_a_write_starts_from_what_the_remote_knows_besides())
def a_changed_version_keeps_the_old_raw(patch: Patch) -> None:
    patch.setattr(intake.Intake, "_versions", property(lambda self: [], lambda self, value: None), raising=False)


@bug(lambda _: law.test_one_round_tells_everybody_after_the_source())
def element_ids_are_minted_anew_at_every_pull(patch: Patch) -> None:
    align = intake.align
    patch.setattr(intake, "align", lambda view, known, eq, mint: align(view, [], eq, mint))


@bug(lambda _: law.test_what_stood_there_before_any_of_our_late_writes_is_no_edit(2))
def only_the_state_before_the_last_write_is_known(patch: Patch) -> None:
    patch.setattr(push, "_prior", lambda session, unit, link, now: link.digest)


@bug(lambda _: law.test_a_text_that_is_cut_there_stays_whole_here(), "only_people_edit")
def a_record_is_compared_with_what_we_sent(patch: Patch) -> None:
    merge = intake.merge
    patch.setattr(intake, "merge", lambda card, view, seen, sent, **how: merge(card, view, sent, sent, **how))


# --- the merge


@bug(lambda _: law.test_a_first_meeting_is_a_union())
def a_first_meeting_takes_values_for_edits(patch: Patch) -> None:
    align = intake.align
    patch.setattr(intake, "align", lambda view, known, eq, mint: align(view, [c for c in known if c], eq, mint))


@bug(lambda _: law.test_the_loser_of_a_conflict_is_kept_and_said(), "nothing_lost")
def the_loser_of_a_conflict_is_dropped(patch: Patch) -> None:
    patch.setattr(journal, "record_conflicts", lambda unit, rows: None)


@bug(lambda _: law.test_two_with_one_address_stay_two_in_every_system_that_allows_it(), "no_duplicates")
def an_address_is_a_person(patch: Patch) -> None:
    patch.setattr(identity, "compatible", lambda one, other: True)


@bug(lambda _: law.test_fields_go_only_the_way_that_the_policy_allows())
def ownership_of_fields_is_ignored(patch: Patch) -> None:
    patch.setattr("app.core.policy.Policy.pushes", lambda self, name: True)


@bug(lambda _: law.test_what_is_only_read_is_never_written(), "only_ours")
def ownership_of_fields_is_forgotten_in_updates(patch: Patch) -> None:
    owed = push.owed
    patch.setattr(push, "owed", lambda *cards, policy, **how: owed(*cards, policy=Policy(), **how))


@bug(lambda _: law.test_who_leaves_the_filter_may_be_kept_and_is_not_made_anew(), "only_ours")
def who_leaves_the_filter_is_deleted(patch: Patch) -> None:
    tasks = push._tasks

    def strict(session: Any, person: Any, held: Any, *more: Any) -> Any:
        if session.policy.welcomes(person.card):
            return tasks(session, person, held, *more)
        return iter([push.Task(person, link, None) for link in held if link.state == "live"])

    patch.setattr(push, "_tasks", strict)


# --- deletions


@bug(lambda _: law.test_short_pages_and_broken_listings_delete_nothing("book"), "converged")
def an_incomplete_listing_deletes(patch: Patch) -> None:
    take_page = pull.take_page
    patch.setattr(
        pull, "take_page", lambda s, u, page, r, named: take_page(s, u, replace(page, complete=True), r, named)
    )


@bug(lambda _: law.test_the_brake(11, True))
def the_brake_is_ignored(patch: Patch) -> None:
    patch.setattr(guard, "may_lose", lambda losing, links: True)


@bug(lambda _: law.test_an_emptied_remote_deletes_nothing_and_may_come_back("list"))
def what_was_missing_once_stays_missing(patch: Patch) -> None:
    patch.setattr(runs, "unpark_gone", lambda unit, connection, ids: None)


@bug(lambda _: law.test_a_value_that_came_back_before_the_brake_was_released_stays("list"), "converged")
def what_waits_is_not_dropped_when_the_record_is_as_before(patch: Patch) -> None:
    patch.setattr(intake.Intake, "_alive", property(lambda self: set(), lambda self, value: None), raising=False)


@bug(lambda _: law.test_a_deletion_before_a_broken_full_listing_is_still_heard_of(), "converged")
def a_listing_that_proves_deletions_keeps_its_place(patch: Patch) -> None:
    patch.setattr(pull, "Listing", lambda named, anew: _Listing(named))


class _Listing:
    def __init__(self, named: set[str]) -> None:
        self.named, self.done, self.anew = named, 0, False


@bug(lambda _: law.test_an_edit_after_the_last_agreement_survives_a_delete_and_says_so(("list", "book")), "converged")
def who_lives_on_stays_deleted_where_the_deletion_came_from(patch: Patch) -> None:
    patch.setattr(intake.Intake, "_let_live", lambda self: None)


@bug(lambda _: law.test_our_own_unanswered_delete_is_not_taken_for_a_humans("lost_after"), "only_people_edit")
def our_own_delete_is_taken_for_a_humans(patch: Patch) -> None:
    patch.setattr(outbox, "awaits", lambda unit, connection, person: False)


# --- writing


@bug(lambda _: law.test_an_edit_between_our_read_and_our_write_is_not_overwritten("book"), "nothing_lost")
def the_version_is_not_sent(patch: Patch) -> None:
    request = push.request

    def unconditional(session: Any, task: Any) -> Any:
        found = request(session, task)
        return replace(found, held=found.held and replace(found.held, version=None))

    patch.setattr(push, "request", unconditional)


@bug(lambda _: law.test_whatever_else_a_remote_knows_is_patched_around(), "only_ours")
def a_record_is_replaced_rather_than_patched(patch: Patch) -> None:
    difference = MemoryConnector._difference

    def whole(self: MemoryConnector, pushed: Any) -> Any:
        write = difference(self, pushed)
        if write is None or pushed.held is None or pushed.card is None:
            return write
        return replace(write, cells=self.profile.cells(pushed.card), whole=True)

    patch.setattr(MemoryConnector, "_difference", whole)


@bug(lambda _: law.test_what_was_not_sent_because_of_throttling_is_sent_later(), "converged")
def what_was_not_sent_is_forgotten(patch: Patch) -> None:
    patch.setattr(outbox, "mark_owed", outbox.settle)


@bug(lambda folder: crashes.test_who_changes_while_being_written_is_written_again(folder), "converged")
def a_push_is_settled_although_the_person_changed(patch: Patch) -> None:
    def settle(unit: Any, connection: int, person: int, rev: int, since: Any) -> bool:
        outbox.settle(unit, connection, [person])
        return True

    patch.setattr(outbox, "settle_unchanged", settle)


@bug(lambda _: apple.test_who_is_refused_is_set_aside_alone("crm"), "the_others_are_well")
def a_refused_record_ends_the_run(patch: Patch) -> None:
    settle = push._settle

    def touchy(session: Any, unit: Any, task: Any, outcome: Any) -> Any:
        if isinstance(outcome.error, Refused):
            raise outcome.error
        return settle(session, unit, task, outcome)

    patch.setattr(push, "_settle", touchy)


@bug(lambda _: apple.test_a_dead_connection_stops_only_itself("book", "secret"), "the_others_are_well")
def a_dead_connection_holds_up_all_others(patch: Patch) -> None:
    receivers = connections.receivers

    def together(unit: Any, source: Any) -> Any:
        paused = any(each.state == "paused" for each in connections.every(unit))
        return [] if paused else receivers(unit, source)

    patch.setattr(connections, "receivers", together)


# --- crashes


@bug(lambda _: crashes.test_killed_at_any_transaction_or_request_of_a_first_contact("book"), "nothing_lost")
def the_cursor_moves_before_the_page(patch: Patch) -> None:
    gather = pull.gather

    def too_early(session: Any, page: Any) -> Any:
        with session.store.begin() as unit:
            connections.update(unit, session.id, cursor=page.cursor)
        return gather(session, page)

    patch.setattr(pull, "gather", too_early)


@bug(lambda _: crashes.test_killed_at_any_transaction_or_request_of_a_first_contact("crm"), "no_duplicates")
def the_intent_is_not_committed_before_a_create(patch: Patch) -> None:
    patch.setattr(outbox, "promise", lambda unit, connection, writes: None)


@bug(
    lambda _: law.test_a_create_without_an_answer_is_looked_up_before_it_is_sent_again("crm", "lost_after"),
    "no_duplicates",
)
def a_create_without_an_answer_is_sent_again(patch: Patch) -> None:
    def again(session: Any, due: Any, found: Any) -> None:
        with session.store.begin() as unit:
            outbox.mark_owed(unit, session.id, [waiting.person_id for waiting in due])

    patch.setattr(push, "_recover_creates", again)


@bug(lambda _: law.test_an_edit_of_a_record_whose_create_was_never_answered_is_not_lost("mail"), "nothing_lost")
def the_answer_to_a_lost_create_is_swallowed(patch: Patch) -> None:
    def swallow(self: Any, person: Any, news: Any, sent: Any) -> None:
        view = intake.align(news.record.card, [sent], self.eq, self.session.world.mint)
        self._link(self._linked(person.id, news, view, sent))

    patch.setattr(intake.Intake, "_answer", swallow)


@bug(lambda _: lost.test_nor_after_a_crash("book", "update"))
def a_cut_text_after_a_crash_is_an_edit(patch: Patch) -> None:
    patch.setattr(reconcile, "renders", lambda path, sent, shown: False)


@bug(lambda _: law.test_twins_whose_creates_are_lost_are_not_mistaken_for_each_other())
def any_record_that_is_found_is_ours(patch: Patch) -> None:
    patch.setattr(push, "_made_by_us", lambda session, unit, person, found: next(iter(found), None))


@bug(lambda folder: crashes.test_of_two_at_once_one_works_and_the_other_says_busy(folder), "silent")
def two_may_sync_one_connection(patch: Patch) -> None:
    patch.setattr(runs, "take_lease", lambda unit, name, owner, seconds: True)


# --- consent


@bug(lambda _: optout.test_an_opt_out_in_the_crm_reaches_the_mailer())
def an_opt_out_stays_where_it_was_said(patch: Patch) -> None:
    patch.setattr(consents, "heard", lambda *_: [])


@bug(lambda _: optout.test_a_list_imported_as_subscribed_subscribes_nobody_who_said_no())
def the_last_word_counts_whatever_proves_it(patch: Patch) -> None:
    patch.setattr(consent, "_counts", lambda act, now: True)


@bug(lambda _: optout.test_a_sign_up_from_before_the_opt_out_lifts_nothing())
def a_sign_up_is_as_old_as_our_knowing_of_it(patch: Patch) -> None:
    heard = consents.heard

    def late(session: Any, unit: Any, *more: Any) -> Any:
        return [replace(entry, at=unit.now) for entry in heard(session, unit, *more)]

    patch.setattr(consents, "heard", late)


@bug(lambda _: optout.test_a_box_unticked_by_hand_is_ticked_again())
def consent_is_no_news(patch: Patch) -> None:
    """Only the card says whether a record changed."""
    patch.setattr(intake, "news_of", lambda record: intake.News(record, intake.digest(record.card)))


@bug(lambda _: optout.test_a_status_column_that_arrives_changed_trips_the_brake())
def opt_outs_pass_the_brake(patch: Patch) -> None:
    patch.setattr(intake.Intake, "_opts", lambda *_: False)


@bug(lambda _: optout.test_a_new_record_of_somebody_who_said_no_is_made_opted_out())
def a_new_record_is_told_later(patch: Patch) -> None:
    patch.setattr(consent.Ledger, "known", lambda *_: [])


@bug(lambda _: optout.test_a_write_whose_answer_was_lost_is_nobodys_word())
def our_own_mark_is_taken_for_a_word(patch: Patch) -> None:
    patch.setattr(consents, "ours", lambda *_: [])


@bug(lambda _: unproven.test_what_became_of_a_write_is_no_edit("list", unproven.without("notes")))
def what_became_of_a_trusted_write_is_an_edit(patch: Patch) -> None:
    patch.setattr(intake.Intake, "_is_proof", staticmethod(lambda news, link: False))


# --- what cannot be read


@bug(lambda _: unread.test_nobody_gets_a_second_record_beside_one_that_cannot_be_read("crm"))
def what_cannot_be_read_is_nobodys(patch: Patch) -> None:
    patch.setattr(refusals, "in_the_way", lambda *_: {})


@bug(lambda _: unread.test_when_it_is_deleted_there_the_person_is_made("crm"))
def who_waited_for_an_unread_record_waits_for_ever(patch: Patch) -> None:
    patch.setattr(outbox, "rouse", lambda *_: None)


@bug(lambda _: unread.test_a_create_whose_answer_was_lost_is_not_sent_again_where_the_record_cannot_be_read(False))
def an_unread_answer_is_no_answer(patch: Patch) -> None:
    patch.setattr(push, "_may_be_ours", lambda *_: None)


@bug(lambda _: unread.test_half_a_record_proves_nothing_of_what_we_wrote(), "only_people_edit")
def half_a_record_is_an_answer(patch: Patch) -> None:
    arrived = push._arrived

    def gullible(session: Any, unit: Any, held: Any, records: Any, wrote: Any) -> Any:
        return arrived(session, unit, held, [replace(record, refused=None) for record in records], wrote)

    patch.setattr(push, "_arrived", gullible)


@bug(lambda _: unread.test_what_is_taken_out_of_the_bin_is_not_deleted_again_and_a_human_is_asked())
def what_comes_back_where_it_was_deleted_is_an_old_copy(patch: Patch) -> None:
    patch.setattr(intake.Intake, "_was_deleted_here", lambda *_: False)
