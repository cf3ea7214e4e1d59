"""The laws over six systems at once: SugarCRM or SuiteCRM, vTiger, Google, Mailchimp, Xero or QuickBooks, CardDAV."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from laws import books
from screens import KINDS, Google, Kind, Mailchimp, Phone, QuickBooks, Suite, Suite8, Tryton, Vtiger
from sixworld import (
    FIELDS,
    Enter,
    NoMail,
    Remove,
    Settle,
    SixWorld,
    Street,
    Type,
    at_peace,
    converged,
    newcomers,
    people,
    play,
    settled,
    silent,
    street,
    trouble,
)
from steps import Run, runs
from test_crashes import nth
from test_histories import share

from app.core.policy import Policy
from connectors.quickbooks import merges

ALL = tuple(KINDS)
EDITED = ("sugar", "vtiger", "google", "mail", "phone")
"""Those that are written to."""
MAILING = ("sugar", "vtiger", "mail")
OPEN: Mapping[str, Policy] = {"books": Policy(direction="pull", fields={"emails": "both", "phones": "both"})}
"""The books are corrected, too."""
OTHERS = {
    "suite": Kind(Suite),
    "vtiger": KINDS["vtiger"],
    "google": Kind(lambda clock: Google(clock, lag=90.0)),
    "mail": Kind(lambda clock: Mailchimp(clock, lag=30.0)),
    "ledger": Kind(QuickBooks),
    "phone": Kind(lambda clock: Phone(clock, rewrites=True, put_etag="none", sync=False)),
}
"""SuiteCRM, listings that lag, QuickBooks that is written to like any other, a CardDAV server of another make."""
NEWER = {
    "suite8": Kind(Suite8),
    "vtiger": Kind(lambda clock: Vtiger(clock, sync="working", php8=False)),
    "google": KINDS["google"],
    "mail": KINDS["mail"],
    "tryton": Kind(Tryton),
    "phone": Kind(lambda clock: Phone(clock, rewrites=True)),
}
"""SuiteCRM's V8, a vTiger that tells its deletions, Tryton, a CardDAV server that writes cards anew."""


@pytest.fixture(scope="module")
def here() -> Iterator[Street]:
    with street() as made:
        yield made


def met(here: Street, **options: Any) -> SixWorld:
    """One person in all systems, and everything agrees."""
    world = SixWorld(here, **options)
    first, *_ = world.remotes
    return settled(play(world, [Enter(first, FIELDS, also=tuple(world.remotes))]))


# --- one after the other ---------------------------------------------------------------------------------------------


def test_one_person_in_each_system_is_in_all(here: Street) -> None:
    world = play(SixWorld(here), [*[Enter(name, FIELDS) for name in ALL], Settle()])
    assert {name: len(world.records(name)) for name in ALL} == {**dict.fromkeys(ALL, 6), "books": 1}


def test_one_person_in_all_systems_stays_one(here: Street) -> None:
    world = play(met(here), [Settle()])
    assert {name: len(world.records(name)) for name in ALL} == dict.fromkeys(ALL, 1)


@pytest.mark.parametrize("name", EDITED)
def test_an_edit_reaches_all(here: Street, name: str) -> None:
    fields = (*FIELDS, "emails", "given", "surname")
    play(met(here), [*[Type(name, field) for field in fields], Settle()])


@pytest.mark.parametrize("name", EDITED)
def test_a_blank_reaches_all(here: Street, name: str) -> None:
    play(met(here), [*[Type(name, field, "blank") for field in FIELDS], Settle()])


@pytest.mark.parametrize("name", ["sugar", "google", "phone"])
def test_one_more_reaches_all(here: Street, name: str) -> None:
    play(met(here), [Type(name, "emails", "more"), Type(name, "phones", "more"), Settle()])


def test_all_edit_the_same_at_once(here: Street) -> None:
    play(met(here), [*[Type(name, field) for name in EDITED for field in (*FIELDS, "emails", "surname")], Settle()])


@pytest.mark.parametrize("name", EDITED)
def test_a_deletion_reaches_all(here: Street, name: str) -> None:
    world = play(met(here), [Remove(name), Settle()])
    assert not any(world.records(name) for name in EDITED)


@pytest.mark.parametrize(("name", "kinds"), [*((name, KINDS) for name in EDITED), ("suite8", NEWER)])
def test_who_is_deleted_where_we_made_them_before_we_looked_again_is_deleted(
    here: Street, name: str, kinds: Mapping[str, Kind]
) -> None:
    """Some tell of a deletion only by having fewer records than before."""
    other = "vtiger" if name == "phone" else "phone"
    world = play(SixWorld(here, kinds), [Enter(other), Settle(), Enter(other), Run(other), Run(name)])
    made = world.find(name, real=2)
    assert made is not None
    world.delete(name, made)
    Settle().do(world)
    assert world.find(other, real=2) is None


def test_an_edit_elsewhere_survives_a_deletion_and_a_reedit_of_what_came_back(here: Street) -> None:
    world = play(met(here), [Remove("mail"), Type("sugar", "phones"), Type("sugar", "organizations"), Settle()])
    assert len(world.records("mail")) == 1


def test_corrections_reach_the_books_where_they_may(here: Street) -> None:
    world = play(met(here, policies=OPEN), [Type("google", name) for name in ("phones", "emails", "given")])
    play(world, [Settle(), Type("books", "phones"), Type("books", "emails"), Settle()])
    (card,) = world.remotes["books"].cards().values()
    (other,) = world.remotes["google"].cards().values()
    assert (card["phones"], card["emails"]) == (other["phones"], other["emails"])
    assert card["given"] != other["given"]


@pytest.mark.parametrize("name", ["books", "ledger"])
def test_two_who_are_merged_in_the_books_stay_two_elsewhere(here: Street, name: str) -> None:
    """Even where a deletion in the books is one everywhere. QuickBooks tells it by a webhook only."""
    kinds = KINDS if name == "books" else OTHERS
    world = SixWorld(here, kinds, policies={name: Policy(direction="pull", deletes="propagate")})
    every = tuple(world.remotes)
    play(world, [Enter(name, ("phones",), also=every), Enter(name, ("phones",), also=every), Settle()])
    winner, loser = world.records(name)
    screen = world.remotes[name]
    if name == "ledger":
        screen.box.options.merged = "inactive"
    screen.merge(winner, loser)
    if name == "ledger":  # as the daemon does
        world.memory[name] |= merges.told(screen.box.webhook().body, world.memory[name])
    play(world, [Settle(), Type("phone", "notes"), Type("phone", "phones", record=1), Settle()])
    assert {other: len(world.records(other)) for other in every} == {**dict.fromkeys(every, 2), name: 1}


LONG: Mapping[str, Any] = {
    "given": "Žofie Ælfgifu-Anaïs محمد 慧",
    "surname": "Þórðardóttir-Øvergård " * 6,
    "emails": "a.very.long+address@" + "sub." * 12 + "example.test",
    "phones": "+44 20 7946 0123 ext. 4567",
    "organizations": "Bäckerei & <Söhne> \"Vogel\"; GmbH, 'Ωμέγα' 🥐 " * 4,
    "titles": "Chief 🚀 Officer, of; Things\\" * 3,
    "addresses": "Straße der Pariser Kommune 12\nc/o Müller; 3. Stock, links\nHinterhaus",
    "notes": "Zeile eins\n\nتجربة — “quotes” &amp; <b>not bold</b> 👩‍👩‍👧\n" * 400,
}


@pytest.mark.parametrize("name", ["google", "phone", "sugar"])
def test_long_and_unusual_values_are_kept_whole_by_who_can(here: Street, name: str) -> None:
    world = SixWorld(here)
    typed = {field: [value] for field, value in LONG.items()}
    world.enter(name, typed)
    before = world.remotes[name].cards()
    settled(world)
    silent(world)
    converged(world)
    assert world.remotes[name].cards() == before
    (person,) = [person.card for person in books(world).people.values()]
    play(world, [Run(other) for other in ALL])
    assert [person.card for person in books(world).people.values()] == [person]


# --- opting out ------------------------------------------------------------------------------------------------------


def marked(world: SixWorld) -> set[bool]:
    """What the marks of everybody say."""
    return {o for name in MAILING for r in world.records(name) for o in world.remotes[name].out(r).values()}


@pytest.mark.parametrize("name", MAILING)
def test_an_opt_out_reaches_all_and_outlives_every_edit(here: Street, name: str) -> None:
    world = play(met(here), [NoMail(name), Settle()])
    assert marked(world) == {True}
    play(world, [Type("phone", "phones"), Type("vtiger", "notes"), Type("mail", "given"), Type("google", "emails")])
    play(world, [Settle()])


def test_who_says_no_where_they_are_marked_already_says_nothing_new(here: Street) -> None:
    """Their address is out; vTiger marks the person for it, and shows no difference. Another address is not out."""
    world = play(met(here), [NoMail("mail"), Settle(), NoMail("vtiger"), Type("google", "emails", "more"), Settle()])
    (record,) = world.records("sugar")
    assert sorted(world.remotes["sugar"].out(record).values()) == [False, True]


@pytest.mark.parametrize("name", MAILING)
def test_an_opt_out_from_before_they_met(here: Street, name: str) -> None:
    world = play(SixWorld(here), [Enter("google", also=(name,)), NoMail(name), Settle()])
    assert marked(world) == {True}


@pytest.mark.parametrize("name", ["sugar", "google", "mail"])
def test_leaving_a_group_is_no_opt_out(here: Street, name: str) -> None:
    """Be it a target list, a label, or a tag of the mailing tool."""
    world = play(met(here), [Type(name, "groups"), Type(name, "groups", "more"), Settle()])
    assert [len(world.remotes[other].cards()[world.records(other)[0]]["groups"]) for other in ("sugar", "mail")] == [
        2,
        2,
    ]
    play(world, [Type(name, "groups", "blank"), Type(name, "groups", "blank"), Settle()])
    assert not any("groups" in card for other in ALL for card in world.remotes[other].cards().values())
    assert marked(world) == {False}
    (member,) = world.remotes["mail"].box.audience.members.values()
    assert member.status == "subscribed"


def test_signing_up_again_lifts_it_everywhere(here: Street) -> None:
    world = settled(play(met(here), [NoMail("vtiger")]))
    assert marked(world) == {True}
    (member,) = world.remotes["mail"].cards().values()
    world.remotes["mail"].box.audience.sign_up(member["emails"][0], "192.0.2.1")
    world.outs.clear()
    play(world, [Settle()])
    assert marked(world) == {False}


def test_a_couple_shares_an_address(here: Street) -> None:
    world = settled(play(met(here), [Enter("sugar", ("phones",), shares=True)]))
    assert len(world.records("google")) == 2
    assert len(world.records("mail")) == 1, "Mailchimp has one contact for an address; the other is set aside"
    play(world, [NoMail("sugar"), Type("vtiger", "given", record=1), Settle(asides=True)])
    assert marked(world) == {True}


# --- trouble ---------------------------------------------------------------------------------------------------------

CREATES = {
    "sugar": r"bulk\?(.*;)?PATCH integrate/",
    "vtiger": r"^POST /webservice",
    "google": "batchCreateContacts",
    "mail": r"^POST /3.0/lists/[^/]+(\?|$)",
    "phone": "^PUT ",
}


@pytest.mark.parametrize("name", EDITED)
def test_a_create_whose_answer_is_lost_makes_one(here: Street, name: str) -> None:
    world = play(SixWorld(here), [Enter("google" if name != "google" else "phone", FIELDS)])
    world.round()
    world.remotes[name].faults.add("lost_after", CREATES[name], times=3)
    world.troubled = True
    world.round()
    at_peace(world)
    assert len(world.records(name)) == 1


@pytest.mark.parametrize(
    ("name", "point"),
    [
        ("sugar", "push.written"),
        ("vtiger", "push.intent"),
        ("google", "push.written"),
        ("mail", "push.written"),
        ("books", "pull.page"),
        ("phone", "push.intent"),
    ],
)
def test_killed_at_a_boundary_of_a_typical_day(here: Street, name: str, point: str) -> None:
    other = "phone" if name != "phone" else "google"
    day = [Enter(other, FIELDS), Type(other, "phones"), Type(other, "emails"), NoMail("sugar"), Type("books", "phones")]
    world = play(met(here), day)
    world.round([n for n in ALL if n != name])
    assert world.run_killed(name, nth(point, 0)) == point
    at_peace(world)


def test_a_target_list_is_looked_into_now_and_then(here: Street) -> None:
    """Found at random: a new group, and a run that failed meanwhile."""
    world = SixWorld(here, OTHERS)
    steps = [Enter("mail", ("groups",), also=("google", "phone")), Run("ledger", fault="lost_before", skip=7)]
    at_peace(play(world, steps))


# --- in any order ----------------------------------------------------------------------------------------------------


def histories(names: Sequence[str], *, troubled: bool) -> st.SearchStrategy[list[Any]]:
    """Some people are entered, and perhaps everything comes to agree; then these things happen."""
    every = st.sampled_from(names)
    at = st.sampled_from([name for name in names if name not in ("books", "ledger", "tryton")])
    before = st.lists(newcomers(every), min_size=1, max_size=2)
    agreed: st.SearchStrategy[list[Any]] = st.sampled_from([[Settle()], []])
    others = [trouble(every), people(at)] if troubled else [people(at), people(at)]
    later = st.lists(st.one_of(people(at), runs(every), *others), min_size=1, max_size=10)
    return st.tuples(before, agreed, later).map(lambda each: [*each[0], *each[1], *each[2]])


@share(10)
@given(histories(ALL, troubled=False))
def test_people_and_runs_in_any_order(here: Street, steps: Sequence[Any]) -> None:
    at_peace(play(SixWorld(here), steps))


@share(10)
@given(histories(ALL, troubled=True))
def test_with_every_kind_of_trouble(here: Street, steps: Sequence[Any]) -> None:
    at_peace(play(SixWorld(here, policies=OPEN), steps))


@share(10)
@given(histories(tuple(OTHERS), troubled=True))
def test_with_systems_of_another_make(here: Street, steps: Sequence[Any]) -> None:
    at_peace(play(SixWorld(here, OTHERS), steps))


@share(10)
@given(histories(tuple(NEWER), troubled=True))
def test_with_a_third_set_of_systems(here: Street, steps: Sequence[Any]) -> None:
    at_peace(play(SixWorld(here, NEWER), steps))
