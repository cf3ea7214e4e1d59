"""Exports: what is written comes back, in every format what that format holds."""

from __future__ import annotations

import csv
import datetime
import io
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import openpyxl
import orjson
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from strategies import PHOTOS, cards

from connectors import vcard
from connectors.card import Card, full_name, leaves
from connectors.contract import Context, Record
from connectors.errors import Refused
from connectors.files import CONNECTOR
from connectors.files.export import Written, write_file
from connectors.files.headers import EXTRA
from connectors.files.jscontact import from_jscontact, to_jscontact

DATA = Path(__file__).parent.parent / "data"
CONTEXT = Context(now=lambda: datetime.datetime.now(datetime.UTC), sleep=lambda _: None, random=lambda: 0.5)
QUIET = settings(derandomize=True, deadline=None, max_examples=60)
ADA: Card = {
    "name": {"components": [{"kind": "given", "value": "Ada"}, {"kind": "surname", "value": "Lovelace"}]},
    "emails": {"e": {"address": "ada@example.org", "contexts": {"work": True}, "pref": 1}},
    "phones": {
        "a": {"number": "+44 20 7946 0018", "features": {"mobile": True, "voice": True}},
        "b": {"number": "=HYPERLINK(1)", "label": 'work, "desk"', "contexts": {"private": True}},
    },
    "anniversaries": {"x": {"kind": "birth", "date": {"year": 1815, "month": 12, "day": 10}}},
    "keywords": {"vip": True, "a; b": True},
    "groups": {"g": {"name": "Countesses"}},
    EXTRA + "Shoe size": "38",
    EXTRA + "Phone": "ask her",
}


def records(path: Path, **more: Any) -> list[Record]:
    connector = CONNECTOR.open(CONNECTOR.settings(path=str(path), **more), CONTEXT)
    return [record for page in connector.changes(None) for record in page.records]


def blob(uri: str) -> bytes:
    return PHOTOS.get(uri, b"")


def told(value: Any) -> Any:
    """A value without what says nothing: blank texts, empty objects and lists."""
    if isinstance(value, Mapping):
        found = {key: told(one) for key, one in value.items()}
        return {key: one for key, one in found.items() if one not in ("", {}, [], None)}
    if isinstance(value, list):
        return [one for one in map(told, value) if one not in ("", {}, [])]
    return value if not isinstance(value, str) or value.strip() else ""


_SOUNDED = ("given", "given2", "surname")


def tabular(card: Card) -> dict[str, Any]:
    """What a table holds of a card: elements without ids and in no order, no photos, no ties of titles to companies, no
    sounds but of the names proper, nothing blank, the text of dates that exist."""
    found: dict[str, Any] = {}
    for path, value in leaves(card).items():
        kind, _, detail = path[-1].partition(".")
        if (
            path[0] == "media"
            or (path[0] == "keywords" and not path[1].strip())
            or path[-1] == "organizationId"
            or (detail and kind not in _SOUNDED)
        ):
            continue
        if (value := told(value)) not in ("", {}, []):
            found["/".join(path)] = value
    elements: dict[str, list[Any]] = {}
    for path, value in list(found.items()):
        field, _, rest = path.partition("/")
        if rest.count("/"):
            key, _, prop = rest.partition("/")
            elements.setdefault(f"{field} {key}", []).append([prop, value])
            del found[path]
    everything = [[name.split(" ")[0], sorted(parts, key=in_order)] for name, parts in elements.items()]
    names = [one for one in everything if one[0] == "groups"]
    return {**found, "elements": sorted([one for one in everything if one not in names] + dedup(names), key=in_order)}


def in_order(value: Any) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


def dedup(items: Iterable[Any]) -> list[Any]:
    found: list[Any] = []
    for item in items:
        if item not in found:
            found.append(item)
    return found


# --- round trips -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["csv", "xlsx"])
@QUIET
@given(card=cards())
@example(card=ADA)
@example(card={"emails": {"1": {"address": "'+1"}}, EXTRA + "E-mail 1": "'", EXTRA + "Kind": "x", EXTRA + "'=1": "-"})
@example(card={"notes": {"1": {"note": "_x0041_ _x_ \x07\r\n"}}, "phones": {"1": {"number": "", "label": "work, "}}})
def test_tables_give_back_what_they_hold(tmp_path_factory: pytest.TempPathFactory, kind: Any, card: Card) -> None:
    path = tmp_path_factory.mktemp("export") / f"a.{kind}"
    write_file(path, kind, [("u1", 3, card)])
    held = tabular(card)
    found = records(path)
    if held == {"elements": []}:
        assert all(record.card is None for record in found)
        return
    [record] = found
    assert (record.id, record.key, record.raw, record.refused) == ("u1", "u1", {"rev": "3"}, None)
    assert tabular(record.card or {}) == held
    assert "organizationId" not in str(record.card)


@QUIET
@given(found=st.lists(cards(), max_size=3))
@example(found=[ADA])
def test_jscontact_gives_back_everything(tmp_path_factory: pytest.TempPathFactory, found: list[Card]) -> None:
    path = tmp_path_factory.mktemp("export") / "a.json"
    people = [
        (f"u{n}", 3, {**card, "notes": {"n": {"note": str(n)}}, "nicknames": {"x": {"name": "N"}}})
        for n, card in enumerate(found)
    ]
    write_file(path, "jscontact", people, blob)
    if not people:
        assert orjson.loads(path.read_bytes()) == []
        return
    back = records(path)
    assert [record.id for record in back] == [uid for uid, _, _ in people]
    for record, (uid, _, card) in zip(back, people, strict=True):
        assert (record.key, record.raw, record.refused) == (uid, {"rev": "3"}, None)
        assert leaves(record.card or {}) == leaves(card)
        for element in card.get("media", {}).values():
            if element["uri"] in PHOTOS:
                assert record.blobs[element["uri"]] == PHOTOS[element["uri"]]


@QUIET
@given(card=cards())
@example(card=ADA)
def test_vcards_give_back_what_they_hold(tmp_path_factory: pytest.TempPathFactory, card: Card) -> None:
    path = tmp_path_factory.mktemp("export") / "a.vcf"
    card = {**card, "emails": {"e": {"address": "ada@example.org"}}}
    write_file(path, "vcard", [("u1", 3, card), ("u2", None, ADA)], blob)
    one, two = records(path)
    [alone] = vcard.parse(vcard.write(card, uid="u1", blob=blob))
    assert isinstance(alone, vcard.VCard)
    assert (one.id, one.key, one.card) == ("u1", "u1", vcard.read(alone)[0])
    assert full_name(two.card or {}) == "Ada Lovelace"


def test_an_edited_export_comes_home_as_the_same_person(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    write_file(path, "csv", [("u1", 3, ADA), ("u2", 1, {"name": {"full": "Grace Hopper"}})])
    rows = list(csv.reader(io.StringIO(path.read_text("utf-8-sig"), newline="")))
    email = rows[0].index("E-mail 1")
    rows[1][email] = "new@example.org"
    # As a German Excel saves it.
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=";").writerows([rows[0], rows[2], rows[1]])
    path.write_bytes(text.getvalue().encode("cp1252"))
    grace, ada = records(path)
    assert (grace.key, ada.key) == ("u2", "u1")
    assert (ada.card or {})["emails"] == {"1": {"address": "new@example.org", "contexts": {"work": True}, "pref": 1}}
    assert (ada.card or {})[EXTRA + "Phone"] == "ask her"
    assert (ada.card or {})["phones"]["2"]["label"] == 'work, "desk"'


# --- what the files are ------------------------------------------------------------------------------------------


def test_csv_is_safe_in_excel(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    write_file(path, "csv", [("u1", 3, ADA)])
    raw = path.read_bytes()
    assert raw.startswith(b'\xef\xbb\xbf"sync_id","sync_rev","sync_action",')
    assert raw.count(b"\r\n") == raw.count(b"\n") == 2
    cells = next(csv.reader(io.StringIO(raw.decode("utf-8-sig").split("\r\n")[1])))
    assert "'+44 20 7946 0018" in cells and "'=HYPERLINK(1)" in cells
    assert not [cell for cell in cells if re.match(r"[=+\-@\t\r]", cell)]


def test_xlsx_has_text_cells_real_dates_a_frozen_header_and_no_formulas(tmp_path: Path) -> None:
    path = tmp_path / "a.xlsx"
    modern = {**ADA, "anniversaries": {"x": {"kind": "birth", "date": {"year": 1980, "month": 3, "day": 7}}}}
    write_file(path, "xlsx", [("u1", 3, modern), ("u2", 1, ADA)])
    book = openpyxl.load_workbook(path)
    sheet = book.active
    assert sheet is not None
    headers = {cell.value: cell.column_letter for cell in sheet[1]}
    assert sheet.freeze_panes == "A2"
    assert sheet.column_dimensions["A"].hidden and sheet.column_dimensions["B"].hidden
    phone = sheet[headers["Phone 1"] + "2"]
    assert (phone.value, phone.data_type, phone.number_format) == ("+44 20 7946 0018", "s", "@")
    assert sheet[headers["Phone 2"] + "2"].data_type == "s"
    assert sheet[headers["Birthday"] + "2"].value == datetime.datetime.fromisoformat("1980-03-07")
    assert sheet[headers["Birthday"] + "3"].value == "1815-12-10"


def test_what_a_table_cannot_hold_is_counted(tmp_path: Path) -> None:
    photo = {"media": {"p": {"kind": "photo", "uri": next(iter(PHOTOS))}}}
    many = {"emails": {str(n): {"address": f"a{n}@example.org"} for n in range(30)}}
    long = {"notes": {"n": {"note": "x" * 40_000}}}
    people = [("u1", 1, {**ADA, **photo}), ("u2", 1, {**ADA, **many}), ("u3", 1, {**ADA, **long})]
    written = write_file(tmp_path / "a.xlsx", "xlsx", people)
    assert written == Written(
        3,
        {"media": 1, "emails beyond 20": 1, "a text in 'Note 1' longer than Excel's cells": 1},  # type: ignore[arg-type]
    )
    assert "notes" not in (records(tmp_path / "a.xlsx")[2].card or {})
    assert len((records(tmp_path / "a.xlsx")[1].card or {})["emails"]) == 20


def test_a_failing_export_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("old")

    def people() -> Iterable[tuple[str, int, Card]]:
        yield "u1", 1, ADA
        raise RuntimeError("the store went away")

    for kind in ("csv", "xlsx", "vcard", "jscontact"):
        with pytest.raises(RuntimeError):
            write_file(path, kind, people())  # type: ignore[arg-type]
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_exports_go_to_streams_too() -> None:
    for kind in ("csv", "xlsx", "vcard", "jscontact"):
        stream = io.BytesIO()
        assert write_file(stream, kind, [("u1", 1, ADA)]).contacts == 1  # type: ignore[arg-type]
        assert stream.getvalue()


# --- JSContact -------------------------------------------------------------------------------------------------

_TOP = {
    *("@type", "version", "uid", "prodId", "kind", "name", "nicknames", "organizations", "titles", "emails", "phones"),
    *("addresses", "anniversaries", "notes", "links", "onlineServices", "media", "keywords"),
}
_ALLOWED = {
    "nicknames": {"name", "contexts", "pref"},
    "organizations": {"name", "units", "sortAs", "contexts"},
    "titles": {"name", "kind", "organizationId"},
    "emails": {"address", "contexts", "pref", "label"},
    "phones": {"number", "features", "contexts", "pref", "label"},
    "addresses": {"components", "isOrdered", "countryCode", "full", "contexts", "pref", "label"},
    "anniversaries": {"kind", "date"},
    "notes": {"note", "created", "author"},
    "links": {"kind", "uri", "mediaType", "contexts", "pref", "label"},
    "onlineServices": {"service", "uri", "user", "contexts", "pref", "label"},
    "media": {"kind", "uri", "mediaType", "contexts", "pref", "label"},
}


@QUIET
@given(card=cards())
def test_jscontact_is_strict(card: Card) -> None:
    found = to_jscontact({**card, EXTRA + "Shoe size": "38"}, "u1", "3", blob)
    assert {"@type": "Card", "version": "1.0", "uid": "u1"}.items() <= found.items()
    assert {key for key in found if not key.startswith("concord:")} <= _TOP
    assert found["concord:columns"] == {"Shoe size": "38"}
    for field, allowed in _ALLOWED.items():
        for element in found.get(field, {}).values():
            assert {prop for prop in element if ":" not in prop} <= allowed
    for element in found.get("anniversaries", {}).values():
        assert element["kind"] in ("birth", "wedding", "death", "concord:other")
    assert "concord:slot" not in str(found)


def test_jscontact_of_others() -> None:
    contact = from_jscontact(
        {
            "@type": "Card",
            "version": "1.0",
            "uid": "urn:uuid:1",
            "updated": "2024-01-01T00:00:00Z",
            "name": {
                "@type": "Name",
                "isOrdered": True,
                "components": [
                    {"@type": "NameComponent", "kind": "surname", "value": "Garcia"},
                    {"kind": "separator", "value": " "},
                    {"kind": "given", "value": "Ana"},
                    {"kind": "given", "value": "María"},
                ],
            },
            "addresses": {
                "a": {
                    "@type": "Address",
                    "isOrdered": True,
                    "components": [
                        {"kind": "number", "value": "54321"},
                        {"kind": "separator", "value": " "},
                        {"kind": "name", "value": "Oak St"},
                        {"kind": "separator", "value": ", "},
                        {"kind": "apartment", "value": "Apt 4"},
                        {"kind": "locality", "value": "Reston"},
                        {"kind": "country", "value": "USA"},
                    ],
                }
            },
            "anniversaries": {"b": {"kind": "birth", "date": {"@type": "Timestamp", "utc": "1953-10-15T23:10:00Z"}}},
            "media": {"p": {"@type": "Media", "kind": "photo", "uri": "data:image/png;base64,iVBORw0KGgo="}},
            "speakToAs": {"grammaticalGender": "feminine"},
        }
    )
    assert contact.uid == "urn:uuid:1"
    [photo] = contact.blobs
    assert contact.card == {
        "name": {"components": [{"kind": "given", "value": "Ana María"}, {"kind": "surname", "value": "Garcia"}]},
        "addresses": {
            "a": {
                "concord:lines": "54321 Oak St, Apt 4",
                "components": [{"kind": "locality", "value": "Reston"}, {"kind": "country", "value": "USA"}],
            }
        },
        "anniversaries": {"b": {"kind": "birth", "date": {"year": 1953, "month": 10, "day": 15}}},
        "media": {"p": {"kind": "photo", "uri": photo, "mediaType": "image/png", "size": 8}},
        "speakToAs": {"grammaticalGender": "feminine"},
    }


@pytest.mark.parametrize(
    "source",
    [
        1,
        {"@type": "Event"},
        {"emails": []},
        {"emails": {"1": "a@example.org"}},
        {"emails": {"1": {"address": 5}}},
        {"name": {"components": [{"kind": "nose", "value": "x"}]}},
        {"name": {"components": "x"}},
        {"organizations": {"1": {"units": 5}}},
        {"addresses": {"1": {"components": [{"kind": "locality"}]}}},
        {"anniversaries": {"1": {"date": {"year": "x"}}}},
        {"anniversaries": {"1": {"date": [1]}}},
        {"media": {"1": {"uri": "data:image/png;base64,@@@"}}},
        {"keywords": ["x"]},
        {"kind": 5, "emails": {"1": {"address": "a", "contexts": 5}}},
    ],
)
def test_json_that_is_no_card_is_refused_alone(tmp_path: Path, source: Any) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(orjson.dumps([source, {"emails": {"1": {"address": "a@example.org"}}}]))
    odd, good = records(path)
    assert odd.refused is not None and odd.refused.startswith("card 1: ")
    assert good.id == "email:a@example.org#"


def test_json_comes_in_three_shapes(tmp_path: Path) -> None:
    cards_ = [to_jscontact({"emails": {"e": {"address": f"a{n}@example.org"}}}, f"u{n}") for n in range(3)]
    for name, data in [
        ("array", orjson.dumps(cards_)),
        ("pretty", orjson.dumps(cards_, option=orjson.OPT_INDENT_2)),
        ("lines", b"\n".join(map(orjson.dumps, cards_))),
        ("marked", b"\xef\xbb\xbf" + orjson.dumps(cards_)),
    ]:
        path = tmp_path / f"{name}.json"
        path.write_bytes(data)
        assert [record.id for record in records(path)] == ["u0", "u1", "u2"]
    with pytest.raises(Refused, match="is no JSContact"):
        (tmp_path / "bad.json").write_text('[{"uid": "1"}, {"uid"')
        records(tmp_path / "bad.json")


# --- vCards ----------------------------------------------------------------------------------------------------


def test_vcards_of_phones_and_programs_are_taken() -> None:
    paths = sorted((DATA / "vcards").glob("*.vcf"))
    assert paths
    for path in paths:
        assert [record for record in records(path) if record.card], path.name


def test_vcards_ids_groups_twins_and_rubbish(tmp_path: Path) -> None:
    def one(*lines: str) -> str:
        return "\r\n".join(["BEGIN:VCARD", "VERSION:3.0", *lines, "END:VCARD", ""])

    path = tmp_path / "a.vcf"
    path.write_text(
        one(
            "UID:g1",
            "N:Friends",
            "FN:Friends",
            "X-ADDRESSBOOKSERVER-KIND:group",
            "X-ADDRESSBOOKSERVER-MEMBER:urn:uuid:U1",
        )
        + one("UID:u1", "N:Lovelace;Ada;;;", "FN:Ada Lovelace")
        + one("N:Hopper;Grace;;;", "FN:Grace Hopper", "EMAIL:g@example.org")
        + one("N:Hopper;Grace;;;", "FN:Grace Hopper", "EMAIL:g@example.org")
        + one("UID:u1", "N:Other;One;;;", "FN:One Other")
        + one("UID:u9", "NOTE:nobody")
        + "BEGIN:VCARD\r\nFN:cut off\r\n"
    )
    ada, grace, twin, nobody, cut = records(path)
    assert (ada.id, ada.key, (ada.card or {})["groups"]) == ("u1", "u1", {"1": {"name": "Friends"}})
    assert (grace.id, grace.key) == ("email:g@example.org#grace hopper", None)
    assert twin.refused == (
        "card 5: another contact in this file has the same id and says otherwise; make them one, or change its id"
    )
    assert nobody.refused == "card 6: there is no name, no e-mail address and no phone number in it"
    assert cut.refused is not None and cut.refused.startswith("card 7: ")


def test_a_photo_beyond_all_bounds_costs_its_card_only(tmp_path: Path) -> None:
    path = tmp_path / "a.vcf"
    line = b" " + b"A" * 74 + b"\r\n"
    with path.open("wb") as file:
        file.write(b"BEGIN:VCARD\r\nVERSION:3.0\r\nFN:Big One\r\nPHOTO;ENCODING=b:AAAA\r\n")
        for _ in range(50):
            file.write(line * 13_700)
        file.write(b"END:VCARD\r\nBEGIN:VCARD\r\nVERSION:3.0\r\nFN:Ada Lovelace\r\nEND:VCARD\r\n")
    big, ada = records(path)
    assert big.refused == "card 1: it has more than 32 MB; take the photo out"
    assert full_name(ada.card or {}) == "Ada Lovelace"
