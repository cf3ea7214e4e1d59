"""Files of contacts: what programs and people write is read without loss and without guessing."""

from __future__ import annotations

import datetime
import io
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import openpyxl
import pytest

from connectors.card import LINES, SLOT, Card, full_name, leaves, problem_id
from connectors.contract import Context, Page, Record
from connectors.errors import Refused, Unreachable
from connectors.files import CONNECTOR, charsets
from connectors.files.headers import EXTRA
from connectors.files.inspection import inspect
from connectors.files.source import Options
from connectors.files.workbook import shown

DATA = Path(__file__).parent.parent / "data" / "files"
CONTEXT = Context(now=lambda: datetime.datetime.now(datetime.UTC), sleep=lambda _: None, random=lambda: 0.5)
Bytes = Callable[[str, bytes], Path]


def pages(path: Path, cursor: Any = None, **settings: Any) -> list[Page]:
    connector = CONNECTOR.open(CONNECTOR.settings(path=str(path), **settings), CONTEXT)
    return list(connector.changes(cursor))


def records(path: Path, **settings: Any) -> list[Record]:
    return [record for page in pages(path, **settings) for record in page.records]


def taken(path: Path, **settings: Any) -> list[Record]:
    """The records of a file in which nothing is refused."""
    found = records(path, **settings)
    assert [record.refused for record in found if record.refused] == []
    return found


def only(path: Path, **settings: Any) -> Card:
    [record] = taken(path, **settings)
    assert record.card is not None
    return record.card


def refusals(path: Path, **settings: Any) -> list[str]:
    return [record.refused for record in records(path, **settings) if record.refused]


def bare(card: Card) -> dict[str, Any]:
    """The card's values without slots and without columns that are only kept."""
    found: dict[str, Any] = {}
    for path, value in leaves(card).items():
        if path[-1] != SLOT and not path[0].startswith(EXTRA):
            found["/".join(path)] = value
    return found


@pytest.fixture
def made(tmp_path: Path) -> Bytes:
    def make(name: str, data: bytes) -> Path:
        path = tmp_path / name
        path.write_bytes(data)
        return path

    return make


def sheet(path: Path, *rows: list[Any], **formats: str) -> Path:
    """A workbook of these rows; formats: {cell: number format}."""
    book = openpyxl.Workbook()
    page = book.active
    assert page is not None
    for row in rows:
        page.append(row)
    for cell, number_format in formats.items():
        page[cell].number_format = number_format
    book.save(path)
    return path


# --- layouts -------------------------------------------------------------------------------------------------


def test_google_new_layout() -> None:
    robert, zoe = taken(DATA / "google-new.csv")
    assert robert.id == "email:rob@acme.example"
    assert bare(robert.card or {}) == {
        "name/title": "Dr.",
        "name/given": "Robert",
        "name/given2": "J.",
        "name/surname": "Smith",
        "name/surname.phonetic": "Smiss",
        "nicknames/1/name": "Bob",
        "organizations/1/name": "Acme, Inc.",
        "organizations/1/units": [{"name": "Sales"}],
        "titles/1/name": "Manager",
        "anniversaries/birth/kind": "birth",
        "anniversaries/birth/date": {"month": 3, "day": 7},
        "anniversaries/1/kind": "wedding",
        "anniversaries/1/date": {"year": 2010, "month": 6, "day": 1},
        "notes/1/note": "Two\nlines",
        "groups/1/name": "Friends",
        "groups/2/name": "Acme : Clients",
        "emails/1/address": "rob@acme.example",
        "emails/1/contexts": {"work": True},
        "emails/1.2/address": "bob@mail.example",
        "emails/1.2/contexts": {"work": True},
        "phones/1/number": "+1 415 555 0134",
        "phones/1/features": {"mobile": True},
        "phones/2/number": "020 7946 0018",
        "phones/2/label": "Grandma's",
        "phones/3/number": "+1 415 555 0100",
        "phones/3/contexts": {"work": True},
        "phones/3/features": {"fax": True},
        f"addresses/1/{LINES}": "12 Elm St\nApt 4",
        "addresses/1/locality": "Springfield",
        "addresses/1/region": "CA",
        "addresses/1/postcode": "01234",
        "addresses/1/country": "US",
        "addresses/1/contexts": {"private": True},
        "relations/1/name": "Ann Smith",
        "relations/1/kind": "Spouse",
        "links/1/uri": "https://acme.example/rob",
        "links/1/label": "Profile",
    }
    assert (robert.card or {})[EXTRA + "Custom Field 1 - Label"] == "Customer no"
    assert (robert.card or {})[EXTRA + "Custom Field 1 - Value"] == "4711"
    assert bare(zoe.card or {}) == {"name/given": "Zoë", "emails/1/address": "zoe@example.org"}


def test_google_old_layout() -> None:
    [record] = taken(DATA / "google-old.csv")
    assert bare(record.card or {}) == {
        "name/given": "Ada",
        "name/surname": "Lovelace",
        "groups/1/name": "Countesses",
        "emails/1/address": "ada@example.org",
        "phones/1/number": "+44 20 7946 0018",
        "phones/1/features": {"mobile": True},
        "organizations/1/name": "Analytical Engines",
        "titles/1/name": "Mathematician",
        "titles/1/organizationId": "1",
        "onlineServices/1/user": "ada.l",
        "onlineServices/1/service": "Skype",
        "anniversaries/birth/kind": "birth",
        "anniversaries/birth/date": {"year": 1815, "month": 12, "day": 10},
    }


@pytest.mark.parametrize("name", ["outlook-en.csv", "outlook-de-cp1252.csv"])
def test_outlook(name: str) -> None:
    record, *_ = taken(DATA / name)
    assert bare(record.card or {}) == {
        "name/title": "Herr",
        "name/given": "Jürgen",
        "name/surname": "Müller",
        "organizations/1/name": "Müller & Söhne GmbH",
        "organizations/1/units": [{"name": "Einkauf"}],
        "titles/1/name": "Leiter",
        f"addresses/work/{LINES}": "Königstraße 5\nHinterhaus",
        "addresses/work/contexts": {"work": True},
        "addresses/work/locality": "Dresden",
        "addresses/work/postcode": "01067",
        "addresses/work/country": "Deutschland",
        f"addresses/other/{LINES}": "Postlagernd",
        "addresses/other/region": "Sachsen",
        "phones/work fax/number": "0351 123457",
        "phones/work fax/contexts": {"work": True},
        "phones/work fax/features": {"fax": True},
        "phones/work/number": "0351 123456",
        "phones/work/contexts": {"work": True},
        "phones/work 2/number": "0351 123458",
        "phones/work 2/contexts": {"work": True},
        "phones/mobile/number": "+49 171 2223334",
        "phones/mobile/features": {"mobile": True},
        "emails/1/address": "j.mueller@example.de",
        "emails/2/address": "juergen@example.org",
        "groups/1/name": "Kunden",
        "groups/2/name": "Weihnachten",
        "notes/1/note": "Ruft nie zurück",
        "links/1/uri": "www.mueller.example",
        "relations/assistant/name": "Frau Schulz",
        "relations/assistant/kind": "assistant",
    }
    assert inspect(DATA / name).layout == "outlook"


def test_linkedin_connections() -> None:
    path = DATA / "Connections.csv"
    ada, grace, closed = records(path)
    assert (ada.id, grace.id) == ("linkedin:ada-lovelace", "linkedin:grace-höpper")
    assert bare(ada.card or {}) == {
        "name/given": "Ada 🌟",
        "name/surname": "Lovelace, PhD",
        "onlineServices/LinkedIn/service": "LinkedIn",
        "onlineServices/LinkedIn/uri": "https://www.linkedin.com/in/ada-lovelace/?trk=x",
        "organizations/1/name": "Analytical Engines",
        "titles/1/name": "Mathematician, Poet",
    }
    assert (ada.card or {})[EXTRA + "Connected On"] == "24 Aug 2023"
    assert closed.refused == "row 7: there is no name, no e-mail address and no phone number in it"
    report = inspect(path)
    assert (report.layout, report.header_row, report.contacts, report.refused_count) == ("linkedin", 4, 2, 1)


def test_mailchimp_export() -> None:
    path = DATA / "mailchimp.csv"
    ada, grace = taken(path)
    assert ada.id == "id:110001"
    assert bare(ada.card or {}) == {
        "emails/1/address": "ada@example.org",
        "name/given": "Ada",
        "name/surname": "Lovelace",
        "addresses/1/full": "12 Elm St  Springfield CA 94110",
        "phones/1/number": "415-555-0134",
        "anniversaries/birth/kind": "birth",
        "anniversaries/birth/date": {"month": 12, "day": 10},
        "notes/1/note": "Likes numbers",
        "keywords/VIP": True,
        "keywords/Blog": True,
    }
    assert (grace.card or {})["anniversaries"]["birth"]["date"] == {"month": 3, "day": 25}
    for header in ("OPTIN_TIME", "OPTIN_IP", "CONFIRM_TIME", "REGION", "LEID", "EUID", "MEMBER_RATING"):
        assert EXTRA + header in (ada.card or {})
    becomes = {column.header: column.becomes for column in inspect(path).columns}
    assert becomes["OPTIN_TIME"] == "consent: goes into its ledger, and is kept as extra"
    (said,) = ada.consents
    assert (said.channel, said.address, said.state) == ("email", "ada@example.org", "granted")
    assert (said.at, said.evidence["ip"]) == (datetime.datetime(2024, 3, 14, 9, 14, tzinfo=datetime.UTC), "192.0.2.7")
    assert grace.consents == (), "who was put on a list by somebody else has said nothing"
    assert becomes["MEMBER_RATING"] == "kept as extra"
    assert becomes["Birthday"] == "anniversaries (birth), month first"


GERMAN = {
    "name/given": "Jürgen",
    "name/surname": "Müller",
    f"addresses/1/{LINES}": "Königstraße 5",
    "addresses/1/postcode": "01067",
    "addresses/1/locality": "Dresden",
    "phones/1/number": "0351/123456",
    "phones/mobile/number": "0171 2223334",
    "phones/mobile/features": {"mobile": True},
    "emails/1/address": "jm@example.de",
    "anniversaries/birth/kind": "birth",
    "anniversaries/birth/date": {"year": 1980, "month": 3, "day": 7},
}
GERMAN_TEXT = (
    "Name;Vorname;Straße;Hausnr.;PLZ;Ort;Tel.;Handy;E-Mail;Geburtstag;Newsletter;Schuhgröße\r\n"
    "Müller;Jürgen;Königstraße;5;01067;Dresden;0351/123456;0171 2223334;jm@example.de;7.3.1980;ja;44\r\n"
)


@pytest.mark.parametrize(
    ("encoding", "delimiter"),
    [
        ("utf-8", ";"),
        ("utf-8-sig", ","),
        ("utf-16", "\t"),
        ("utf-16-le", ";"),
        ("utf-16-be", ";"),
        ("cp1252", ";"),
        ("mac_roman", ";"),
        ("cp850", "|"),
    ],
)
def test_encodings_and_delimiters(made: Bytes, encoding: str, delimiter: str) -> None:
    path = made("kontakte.csv", GERMAN_TEXT.replace(";", delimiter).encode(encoding))
    card = only(path)
    assert bare(card) == GERMAN
    assert (card[EXTRA + "Newsletter"], card[EXTRA + "Schuhgröße"]) == ("ja", "44")
    report = inspect(path)
    assert (report.encoding, report.delimiter) == (encoding, delimiter)
    assert [c.becomes for c in report.columns if c.header == "Newsletter"] == [
        "consent: not a card field, kept as extra"
    ]


def test_encoding_is_told_by_the_words_where_several_fit() -> None:
    for text, encoding in [
        ("Zoë Brontë, François, Köln, Århus", "cp1252"),
        ("Zoë Brontë, François, Köln, Århus", "mac_roman"),
        ("Łódź, Stanisław Górski, Życki, błąd", "cp1250"),
        ("“Ada” – the café", "cp1252"),
    ]:
        found = charsets.detect(io.BytesIO(("Name,City\n" + text).encode(encoding)))
        assert found == (encoding, True)


def test_an_encoding_or_delimiter_that_is_given_wins(made: Bytes) -> None:
    path = made("a.csv", "Name!E-Mail\nЖук!z@example.org\n".encode("cp1251"))
    card = only(path, encoding="cp1251", delimiter="!")
    assert full_name(card) == "Жук"
    with pytest.raises(Refused, match="is no encoding that we know"):
        records(path, encoding="klingon")


def test_a_broken_byte_costs_its_row_and_not_all_accents(made: Bytes) -> None:
    rows = "".join(f"Zoë Brontë,zoe{n}@example.org\n" for n in range(30)).encode()
    path = made("a.csv", b"Name,E-mail\n" + rows + b"J\xfcrgen M,j@example.org\n")
    found = records(path)
    assert [full_name(record.card or {}) for record in found[:30]] == ["Zoë Brontë"] * 30
    assert found[30].refused == ("row 32: column 'Name' has bytes that are not utf-8; save the file as CSV UTF-8")


def test_excel_sep_line_and_title_rows_before_the_header(made: Bytes) -> None:
    path = made("a.csv", b"sep=;\nOur customers, 2024;;\n\nFirst name;Last name;Mail\nAda;Lovelace;a@example.org\n")
    assert bare(only(path)) == {"name/given": "Ada", "name/surname": "Lovelace", "emails/1/address": "a@example.org"}


def test_columns_that_a_person_decided(made: Bytes) -> None:
    path = made("a.csv", b"Wer,Kontakt 2,Egal\nAda Lovelace,0351 1,x\n")
    card = only(path, columns={"Wer": "name/full", "Kontakt 2": "phones/work"})
    assert bare(card) == {
        "name/given": "Ada",
        "name/surname": "Lovelace",
        "phones/work/number": "0351 1",
        "phones/work/contexts": {"work": True},
    }
    with pytest.raises(Refused, match="headers that are not in the file: Wo"):
        records(path, columns={"Wer": "name", "Wo": "addresses"})
    with pytest.raises(ValueError, match="is no field path"):
        CONNECTOR.settings(path="x", columns={"Wer": "nobody"})


# --- cells -----------------------------------------------------------------------------------------------------


def test_blanks_spaces_and_several_values(made: Bytes) -> None:
    text = (
        "Name,Email,Phone,Company\n"
        '"\u200bSmith,\u00a0John ", a@x.example; <b@x.example> ,"030 1234567 / 0171 1234567\n+49 30 9",N/A\n'
        '-,"Ada <mailto:ada@x.example>, b2@x.example",none,NULL\n'
        ",ask Tom,call me,Acme\n"
    )
    one, two, three = taken(made("a.csv", text.replace("x.example; <", "x.example; <").encode()))
    assert bare(one.card or {}) == {
        "name/given": "John",
        "name/surname": "Smith",
        "emails/1/address": "a@x.example",
        "emails/1.2/address": "b@x.example",
        "phones/1/number": "030 1234567",
        "phones/1.2/number": "0171 1234567",
        "phones/1.3/number": "+49 30 9",
    }
    assert bare(two.card or {}) == {"emails/1/address": "ada@x.example", "emails/1.2/address": "b2@x.example"}
    assert three.card is not None
    assert (three.card[EXTRA + "Email"], three.card[EXTRA + "Phone"]) == ("ask Tom", "call me")


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("John Smith", {"given": "John", "surname": "Smith"}),
        ("Smith, John", {"given": "John", "surname": "Smith"}),
        ("smith, JOHN paul", {"given": "JOHN paul", "surname": "smith"}),
        ("Jane E. Public", {"given": "Jane", "given2": "E.", "surname": "Public"}),
        ("Dr. Zoë van der Berg PhD", {"title": "Dr.", "given": "Zoë", "surname": "van der Berg", "credential": "PhD"}),
        ("de la Cruz, Juan", {"given": "Juan", "surname": "de la Cruz"}),
        ("Gabriel García Márquez", {"full": "Gabriel García Márquez"}),
        ("Chan Tai Man", {"full": "Chan Tai Man"}),
        ("Madonna", {"full": "Madonna"}),
        ("山田 太郎", {"full": "山田 太郎"}),
        ("John and Mary Smith", {"full": "John and Mary Smith"}),
        ("José y María", {"full": "José y María"}),
        ("Acme Ltd", {"full": "Acme Ltd"}),
        ("Van Morrison", {"full": "Van Morrison"}),
        ("Smith, MBA", {"full": "Smith, MBA"}),
    ],
)
def test_whole_names_are_split_only_where_it_is_sure(made: Bytes, text: str, name: dict[str, str]) -> None:
    card = only(made("a.csv", f'Name,Email\n"{text}",a@example.org\n'.encode()))
    assert bare({"name": card["name"]}) == {f"name/{part}": value for part, value in name.items()}


def test_a_whole_name_beside_its_parts_stays_only_if_it_says_more(made: Bytes) -> None:
    one, two = taken(made("a.csv", b"Full Name,First Name,Last Name\nAda Lovelace,Ada,Lovelace\nAda L.,Ada,Byron\n"))
    assert "full" not in (one.card or {})["name"]
    assert (two.card or {})["name"]["full"] == "Ada L."


@pytest.mark.parametrize(
    ("days", "first", "becomes"),
    [
        (["03/07/1980", "25/12/1990"], {"year": 1980, "month": 7, "day": 3}, "anniversaries (birth), day first"),
        (["03/07/1980", "12/25/1990"], {"year": 1980, "month": 3, "day": 7}, "anniversaries (birth), month first"),
        (["7 Mar 1980", "0/0/00"], {"year": 1980, "month": 3, "day": 7}, "anniversaries (birth)"),
        (["03/07/1980", "04/05/1990"], None, "anniversaries (birth)"),
        (["03/07/1980", "25/12/1990", "12/25/1990"], None, "anniversaries (birth)"),
        (["07.03.80", "x"], None, "anniversaries (birth)"),
    ],
)
def test_dates_are_never_guessed(made: Bytes, days: list[str], first: dict[str, int] | None, becomes: str) -> None:
    rows = "".join(f"Person {n},p{n}@example.org,{day}\n" for n, day in enumerate(days))
    path = made("a.csv", f"Name,Email,Birthday\n{rows}".encode())
    card = taken(path)[0].card or {}
    report = inspect(path)
    assert report.columns[2].becomes == becomes
    if first:
        assert card["anniversaries"]["birth"]["date"] == first
        assert report.dates == []
    else:
        assert "anniversaries" not in card
        assert card[EXTRA + "Birthday"] == days[0]
    assert bool(report.dates) == (first is None and "/" in days[0])


def test_an_address_in_one_cell_stays_whole_and_a_street_is_a_street(made: Bytes) -> None:
    whole = only(made("a.csv", b'Name,Address\nAda Lovelace,"12 Elm St, Springfield"\n'))
    assert whole["addresses"]["1"]["full"] == "12 Elm St, Springfield"
    parts = only(made("b.csv", b"Name,Address,Address 2,City\nAda Lovelace,12 Elm St,Apt 4,Springfield\n"))
    assert parts["addresses"]["1"][LINES] == "12 Elm St\nApt 4"
    street = only(made("c.csv", b"Name,Street\nAda Lovelace,12 Elm St\n"))
    assert street["addresses"]["1"][LINES] == "12 Elm St"


def test_a_column_title_is_what_its_neighbours_say(made: Bytes) -> None:
    before = only(made("a.csv", b"Title,First name,Last name\nDr.,Ada,Lovelace\n"))
    after = only(made("b.csv", b"First name,Last name,Title\nAda,Lovelace,Boss\n"))
    assert bare(before)["name/title"] == "Dr."
    assert bare(after)["titles/1/name"] == "Boss"


# --- workbooks --------------------------------------------------------------------------------------------------


def test_workbook_cells(tmp_path: Path) -> None:
    path = sheet(
        tmp_path / "a.xlsx",
        ["Name ", "Phone", "ZIP", "City", "Birthday", "Mobile", "Mail", "Member"],
        [
            "Ada Lovelace",
            442079460018,
            1234,
            "London",
            datetime.date(1980, 3, 7),
            4155552671,
            "a@example.org",
            True,
        ],
        ["Grace Hopper", "+1 202 555 0100", "09876", "NYC", datetime.date(1906, 12, 9), "#N/A", "g@example.org", 2.5],
        C2="00000",
        F2="(000) 000-0000",
    )
    book = openpyxl.load_workbook(path)
    page = book.active
    assert page is not None
    page["F3"].data_type = "e"
    page.row_dimensions[3].hidden = True
    book.create_sheet("Prices").append(["Item", "Price"])
    book.save(path)
    ada, grace = taken(path)
    assert bare(ada.card or {}) == {
        "name/given": "Ada",
        "name/surname": "Lovelace",
        "phones/1/number": "442079460018",
        "phones/mobile/number": "(415) 555-2671",
        "phones/mobile/features": {"mobile": True},
        "addresses/1/postcode": "01234",
        "addresses/1/locality": "London",
        "anniversaries/birth/kind": "birth",
        "anniversaries/birth/date": {"year": 1980, "month": 3, "day": 7},
        "emails/1/address": "a@example.org",
    }
    assert ((ada.card or {})[EXTRA + "Member"], (grace.card or {})[EXTRA + "Member"]) == ("TRUE", "2.5")
    assert bare(grace.card or {})["anniversaries/birth/date"] == {"year": 1906, "month": 12, "day": 9}
    report = inspect(path)
    assert report.suspicious == [
        "Mobile: 1 cells hold an error (#N/A, #REF!, …) and count as empty",
        "ZIP: 1 numbers are taken as their format shows them (leading zeros)",
        "Mobile: 1 numbers are taken as their format shows them (leading zeros)",
        "Phone: 1 phone numbers are stored as numbers; a leading + or 0 may be missing",
        "Mobile: 1 phone numbers are stored as numbers; a leading + or 0 may be missing",
    ]
    assert report.notes == ["1 hidden rows are imported, too", "other sheets are not imported: Prices"]
    assert (report.format, report.sheet, report.other_sheets) == ("xlsx", "Sheet", ["Prices"])


@pytest.mark.parametrize(
    ("value", "number_format", "text"),
    [
        (1234, "00000", "01234"),
        (1067, "[$-407]00000", "01067"),
        (123456789, "00000-0000", "12345-6789"),
        (5552671, "[<=9999999]###-####;(###) ###-####", "555-2671"),
        (4155552671, "[<=9999999]###-####;(###) ###-####", "(415) 555-2671"),
        (442079460018, '"+"0', "+442079460018"),
        (123456, "000", "123456"),
        (1234, "#,##0", "1234"),
        (1234, "0.00", "1234"),
        (1234, "General", "1234"),
    ],
)
def test_numbers_as_their_format_shows_them(value: int, number_format: str, text: str) -> None:
    assert shown(value, number_format) == text


def test_dates_of_the_1904_system(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    book.epoch = openpyxl.utils.datetime.CALENDAR_MAC_1904
    page = book.active
    assert page is not None
    page.append(["Name", "Birthday"])
    page.append(["Ada Lovelace", datetime.date(1980, 3, 7)])
    book.save(tmp_path / "a.xlsx")
    assert bare(only(tmp_path / "a.xlsx"))["anniversaries/birth/date"] == {"year": 1980, "month": 3, "day": 7}


def test_cells_that_cannot_be_trusted_are_refused_by_name(tmp_path: Path) -> None:
    path = sheet(
        tmp_path / "a.xlsx",
        ["Name", "Phone", "Mail", "Extra"],
        ["Ada Lovelace", 12345678901234567890, "a@example.org", 1],
        ["Grace Hopper", "1", '="g"&"@example.org"', 1],
        ["Alan Turing", "2", "t@example.org", "=1+1"],
    )
    assert refusals(path) == [
        "row 2: column 'Phone' is a number of more than 15 digits, which Excel has rounded; make the cell text and "
        "type it again",
        "row 3: column 'Mail' is a formula without a result; open the file in Excel and save it",
    ]
    assert [full_name(record.card) for record in records(path) if record.card] == ["Alan Turing"]


def test_merged_cells_count_for_every_row_they_cover(tmp_path: Path) -> None:
    path = sheet(
        tmp_path / "a.xlsx", ["Company", "Name"], ["Acme", "Ada Lovelace"], [None, "Grace Hopper"], ["B", "Alan Turing"]
    )
    book = openpyxl.load_workbook(path)
    page = book.active
    assert page is not None
    page.merge_cells("A2:A3")
    book.save(path)
    companies = [bare(record.card or {})["organizations/1/name"] for record in taken(path)]
    assert companies == ["Acme", "Acme", "B"]
    assert inspect(path).notes == ["merged cells (A2:A3): their value counts for every row they cover"]


def test_the_sheet_with_contacts_is_found_or_named(tmp_path: Path) -> None:
    path = sheet(tmp_path / "a.xlsx", ["Some", "Report"], [1, 2])
    book = openpyxl.load_workbook(path)
    for title, name in (("People", "Ada Lovelace"), ("Old people", "Grace Hopper")):
        page = book.create_sheet(title)
        page.append(["Name", "Mail", "Phone"] if title == "People" else ["Name", "Mail"])
        page.append([name, "x@example.org"])
    book.save(path)
    assert full_name(only(path)) == "Ada Lovelace"
    assert full_name(only(path, sheet="Old people")) == "Grace Hopper"
    with pytest.raises(Refused, match="there is no sheet 'New'; there are: Sheet, People, Old people"):
        records(path, sheet="New")


# --- who a row is -------------------------------------------------------------------------------------------------


def test_ids_survive_edits_and_order(made: Bytes) -> None:
    head = "Name,Email,Phone,Company\n"
    rows = [
        "Ada Lovelace,ada@example.org,1,Acme\n",
        "Grace Hopper,,0351 22,\n",
        "Alan Turing,,,Bletchley\n",
        "Info One,info@example.org,5,\n",
        "Info Two,info@example.org,6,\n",
    ]
    before = {record.id for record in taken(made("a.csv", (head + "".join(rows)).encode()))}
    assert before == {
        "email:ada@example.org",
        "phone:035122",
        "name:alan turing|bletchley",
        "email:info@example.org#info one",
        "email:info@example.org#info two",
    }
    edited = [row.replace(",1,Acme", ",999,Beta") for row in reversed(rows)]
    assert {record.id for record in taken(made("b.csv", (head + "".join(edited)).encode()))} == before


def test_rows_of_one_person_are_made_one_if_they_agree(made: Bytes) -> None:
    text = (
        "Name,Email,Phone,Shoe size,Tags\n"
        "Ada Lovelace,ada@example.org,0351 1,,vip\n"
        "Grace Hopper,g@example.org,,,\n"
        "Ada Lovelace,ADA@example.org,0351 2,38,new\n"
        "Ada Lovelace,ada@example.org,0351 1,39,\n"
    )
    path = made("a.csv", text.encode())
    grace, ada, refused = records(path)
    assert grace.id == "email:g@example.org"
    assert sorted(e["number"] for e in (ada.card or {})["phones"].values()) == ["0351 1", "0351 2"]
    assert (ada.card or {})["keywords"] == {"vip": True, "new": True}
    assert (ada.card or {})[EXTRA + "Shoe size"] == "38"
    assert refused.refused == (
        "row 5: it is the person of row 2 (same key, same name) but says otherwise; make them one row"
    )
    assert inspect(path).suspicious == ["1 people stand in several rows (same key, same name)"]


def test_our_own_columns_say_who_a_row_is(made: Bytes) -> None:
    text = (
        "sync_id,sync_rev,sync_action,Full name,E-mail 1\n"
        "u1,7,,Ada,ada@example.org\n"
        "u2,7,delete,,\n"
        "u3,7,,,\n"
        ",,,New One,new@example.org\n"
        "u4,7,,Copy A,c@example.org\n"
        "u4,7,,Copy B,d@example.org\n"
    )
    ada, gone, blank, new, *copies = records(made("a.csv", text.encode()))
    assert (ada.id, ada.key, ada.raw, bare(ada.card or {})) == (
        "u1",
        "u1",
        {"rev": "7"},
        {"name/full": "Ada", "emails/1/address": "ada@example.org"},
    )
    assert (gone.id, gone.card, gone.refused) == ("u2", None, None)
    assert (blank.id, blank.refused) == (
        "u3",
        "row 4: there is no name, no e-mail address and no phone number in it",
    )
    assert (new.id, new.key) == ("email:new@example.org", None)
    assert [(copy.id, copy.key) for copy in copies] == [("u4#copy a", None), ("u4#copy b", None)]


# --- the contract ----------------------------------------------------------------------------------------------


def test_the_same_file_twice_is_no_page(made: Bytes) -> None:
    path = made("a.csv", b"Name,Email\n" + b"".join(b"P Q%d,p%d@example.org\n" % (n, n) for n in range(1201)))
    found = pages(path)
    assert [len(page.records) for page in found] == [500, 500, 201]
    assert [page.cursor is None for page in found] == [True, True, False]
    assert pages(path, found[-1].cursor) == []
    assert pages(path, found[-1].cursor, columns={"Name": "nicknames"}) != []
    path.write_bytes(path.read_bytes() + b"Ada Lovelace,a@example.org\n")
    assert len(pages(path, found[-1].cursor)) == 3


def test_absence_means_something_only_in_a_snapshot(made: Bytes) -> None:
    path = made("a.csv", b"Name,Email\nAda Lovelace,a@example.org\n")
    assert [page.complete for page in pages(path)] == [False]
    assert [page.complete for page in pages(path, snapshot=True)] == [True]
    path.write_bytes(path.read_bytes() + b",\n ,-\n")
    assert [page.complete for page in pages(path, snapshot=True)] == [False]


def test_records_are_read_again_by_id_and_nothing_is_written(made: Bytes) -> None:
    path = made("a.csv", b"Name,Email\nAda Lovelace,a@example.org\nGrace Hopper,g@example.org\n")
    connector = CONNECTOR.open(CONNECTOR.settings(path=str(path)), CONTEXT)
    grace, gone = connector.read(["email:g@example.org", "email:x@example.org"])
    assert (full_name(grace.card or {}), gone.card) == ("Grace Hopper", None)
    assert not connector.capabilities.creates
    assert connector.check().label == "a.csv (csv, layout table, 2 rows)"


def test_fit_is_what_stands_in_the_file_in_present_words(made: Bytes) -> None:
    held = only(made("a.csv", b"Name,Email,Phone\nAda Lovelace,a@example.org,1\n"))
    connector = CONNECTOR.open(CONNECTOR.settings(path="x"), CONTEXT)
    card = {**held, "emails": {"1": {"address": "new@example.org"}}, "notes": {"n": {"note": "x"}}}
    del card["phones"]
    fitted = connector.fit(card, held)
    assert bare(fitted) == {"name/given": "Ada", "name/surname": "Lovelace", "emails/1/address": "new@example.org"}
    assert fitted["emails"]["1"][SLOT] == "1"
    assert connector.fit(fitted, held) == fitted == connector.fit(card, fitted)
    assert connector.fit(card, None) == {}


# --- bad input ------------------------------------------------------------------------------------------------


def test_files_that_are_no_contacts_say_what_to_do(made: Bytes) -> None:
    for name, data, reason in [
        ("a.csv", b"", "is empty"),
        ("a.csv", b"\xef\xbb\xbf \n", "is empty"),
        ("a.xls", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600), "old Excel file"),
        ("a.csv", b"\xff\xd8\xff\xe0" + bytes(600), "is a picture"),
        ("a.csv", bytes(range(256)) * 40, "not a text file"),
        ("a.xlsx", b"PK\x03\x04 not a zip at all", "damaged"),
        ("a.csv", b"alpha,beta\n1,2\n", "no header row is found"),
        ("a.csv", b"Name" + b",Email" * 10_000 + b"\nAda\n", "has 10,001 columns"),
        ("a.html", b"<html><table>", "is a web page"),
        ("a.json", b'{"@type": "Card", ', "is no JSContact"),
    ]:
        with pytest.raises(Refused, match=reason):
            records(made(name, data))


def test_archives_that_must_not_be_opened(made: Bytes, tmp_path: Path) -> None:
    def archive(name: str, size: int = 10) -> Path:
        path = tmp_path / "a.xlsx"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
            packed.writestr(name, b"0" * size)
            packed.writestr("mimetype", b"x")
        return path

    for name, size, reason in [
        ("xl/workbook.xml", 40 << 20, "would unpack to 40 MB"),
        ("xl/workbook.bin", 10, "binary workbooks"),
        ("content.xml", 10, "OpenDocument"),
        ("xl/vbaProject.bin", 10, "macros"),
        ("Connections.csv", 10, "ZIP archive without a workbook"),
        ("xl/workbook.xml", 10, "damaged"),
    ]:
        with pytest.raises(Refused, match=reason):
            records(archive(name, size))


def test_a_truncated_workbook_is_refused(tmp_path: Path) -> None:
    path = sheet(tmp_path / "a.xlsx", ["Name", "Mail"], *([f"P Q{n}", f"p{n}@example.org"] for n in range(100)))
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    parts["xl/worksheets/sheet1.xml"] = parts["xl/worksheets/sheet1.xml"][:2000]
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in parts.items():
            archive.writestr(name, data)
    with pytest.raises(Refused, match="damaged"):
        records(path)


def test_entities_that_blow_up_are_refused(tmp_path: Path) -> None:
    path = sheet(tmp_path / "a.xlsx", ["Name", "Mail"], ["Ada Lovelace", "a@example.org"])
    bomb = (
        '<!DOCTYPE x [<!ENTITY a "'
        + "x" * 1000
        + '">'
        + "".join(f'<!ENTITY {chr(98 + n)} "{f"&{chr(97 + n)};" * 30}">' for n in range(8))
        + "]>"
    )
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    data = parts["xl/worksheets/sheet1.xml"].decode().replace("<sheetData>", "<sheetData><v>&i;</v>")
    parts["xl/worksheets/sheet1.xml"] = (bomb + data).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, one in parts.items():
            archive.writestr(name, one)
    with pytest.raises(Refused, match="damaged"):
        records(path)


def test_rows_beyond_the_bounds_are_refused_one_by_one(made: Bytes) -> None:
    path = made(
        "a.csv",
        b"Name,Email,Notes\nAda Lovelace,a@example.org,x\nTom Thumb,t@example.org" + b",x" * 10_000 + b"\n"
        b"Long Note,l@example.org," + b"n" * 120_000 + b"\n,,\n,-,only a note\n",
    )
    assert refusals(path) == [
        "row 3: has 10,002 cells under 3 headers; is text with a delimiter not in quotation marks?",
        "row 4: notes/note is 120,000 characters long; the limit is 100,000",
        "row 6: there is no name, no e-mail address and no phone number in it",
    ]


def test_a_file_that_is_not_there_or_changes_meanwhile(made: Bytes, tmp_path: Path) -> None:
    with pytest.raises(Unreachable, match="there is no file"):
        records(tmp_path / "none.csv")
    with pytest.raises(Refused, match="is a folder"):
        records(tmp_path)
    path = made("a.csv", b"Name,Email\n" + b"".join(b"P Q%d,p%d@example.org\n" % (n, n) for n in range(600)))
    connector = CONNECTOR.open(CONNECTOR.settings(path=str(path)), CONTEXT)
    running = connector.changes(None)
    next(running)
    with path.open("ab") as file:
        file.write(b"Late One,late@example.org\n")
    with pytest.raises(Unreachable, match="changed while it was read"):
        list(running)


def test_inspection_is_json_and_counts(made: Bytes) -> None:
    path = made("a.csv", GERMAN_TEXT.encode() + b"x;;;;;;;;;;;;;;too;many\n")
    report = inspect(path, Options(delimiter=";")).as_json
    assert (report["rows"], report["contacts"], report["refused_count"]) == (2, 1, 1)
    assert report["columns"][6] == {
        "header": "Tel.",
        "becomes": "phones (1)",
        "samples": ["0351/123456"],
        "filled": 1,
    }
    assert report["fields"] == {"name": 1, "addresses": 1, "phones": 1, "emails": 1, "anniversaries": 1}


def test_an_inspection_tells_of_cells_that_hold_something_else(made: Bytes) -> None:
    text = b"Name,E-mail,Tel\nAda,not-an-email,020 7946 0018\nBen,b@example.org,ask his wife about it\nC,,\n"
    report = inspect(made("a.csv", text))
    assert report.suspicious == [
        "E-mail: 1 cells hold no e-mail address; what they hold is kept as extra",
        "Tel: 1 cells hold no phone number; what they hold is kept as extra",
    ]


def test_a_card_with_too_long_a_name_is_told_of_its_name(made: Bytes) -> None:
    card = "BEGIN:VCARD\nVERSION:3.0\nFN:{0}\nN:{0};;;;\nEND:VCARD\n"
    text = card.format("x" * 300_000) + card.format("y" * 300_000) + card.format("Ben")
    long, other, ben = records(made("a.vcf", text.encode()))
    assert ben.card and long.id != other.id
    for record in (long, other):
        assert record.refused and "name" in record.refused and "its id" not in record.refused
        assert problem_id(record.id) is None
    named = records(made("b.vcf", f"BEGIN:VCARD\nVERSION:3.0\nFN:{'ab ' * 300}\nEND:VCARD\n".encode()))
    assert named[0].card and problem_id(named[0].id) is None, "what a card can hold is taken"
