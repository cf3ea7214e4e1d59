"""The vTiger sandbox answers as live servers did. Each exchange is taken from a transcript (transcripts/vtiger), in its
order; what differs from one installation to the next (times, tokens, labels of columns) is not compared."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from starlette.types import Receive, Scope, Send

from connectors.sandbox import running
from connectors.vtiger import vtql
from connectors.vtiger.sandbox import ACCESS_KEY, VtigerSandbox

START = datetime(2026, 11, 22, 1, 43, 33, tzinfo=UTC)
DENIED = "Permission to perform the operation is denied"
ACME = {"accountname": "Acme Ltd", "assigned_user_id": "19x1"}
ZOE = {
    "firstname": "Zoë",
    "lastname": "O'Brien & Søn <x>",
    "assigned_user_id": "19x1",
    "email": "zoe@example.com",
    "phone": "+44 20 7946 0000",
    "othercity": "Leeds",
    "department": "R&D",
    "birthday": "1980-02-29",
    "description": 'Line1\nLine2 "quoted" \\ back <b>bold</b> 日本語 😀',
    "donotcall": "1",
    "emailoptout": True,
    "salutationtype": "Ms.",
}


class Visitor:
    """Another program that speaks to the server."""

    def __init__(self, url: str) -> None:
        self._http = httpx.Client(base_url=url)
        self.session = ""

    def send(self, method: str, **params: Any) -> httpx.Response:
        given = {name: json.dumps(value) if isinstance(value, dict) else value for name, value in params.items()}
        if method == "GET":
            return self._http.get("/webservice.php", params=given)
        return self._http.post("/webservice.php", data=given)

    def ask(self, method: str, operation: str, **params: Any) -> Any:
        """The result, or (code, message)."""
        answer = self.send(method, operation=operation, sessionName=self.session, **params)
        assert answer.status_code == 200
        body = answer.json()
        return body["result"] if body["success"] else (body["error"]["code"], body["error"]["message"])

    def query(self, text: str) -> Any:
        return self.ask("GET", "query", query=text)

    def create(self, element: dict[str, Any] | str, module: str = "Contacts") -> Any:
        return self.ask("POST", "create", elementType=module, element=element)

    def login(self) -> Visitor:
        token = self.ask("GET", "getchallenge", username="admin")["token"]
        self.session = self.ask("POST", "login", username="admin", accessKey=proof(token))["sessionName"]
        return self

    def close(self) -> None:
        self._http.close()


def proof(token: str) -> str:
    return hashlib.md5(f"{token}{ACCESS_KEY}".encode()).hexdigest()


class Host:
    box: VtigerSandbox
    url: str

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.box.app(scope, receive, send)


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
    made = Host()
    made.box = VtigerSandbox()
    with running(made) as made.url:
        yield made


@pytest.fixture
def box(host: Host) -> VtigerSandbox:
    host.box = VtigerSandbox(clock=lambda: START)
    return host.box


@pytest.fixture
def visitor(host: Host, box: VtigerSandbox) -> Iterator[Visitor]:
    made = Visitor(host.url).login()
    yield made
    made.close()


def serve(host: Host, **options: Any) -> VtigerSandbox:
    host.box = VtigerSandbox(clock=lambda: START, **options)
    return host.box


# --- 01-auth ---------------------------------------------------------------------------------------------------------


def test_challenge_and_login(visitor: Visitor) -> None:
    assert visitor.ask("POST", "getchallenge", username="admin") == ("ACCESS_DENIED", "No username given")
    assert visitor.ask("GET", "getchallenge", username="nobody") == ("ACCESS_DENIED", "username does not exists")
    challenge = visitor.ask("GET", "getchallenge", username="admin")
    assert challenge["serverTime"] == int(START.timestamp())
    assert challenge["expireTime"] == challenge["serverTime"] + 300
    key = proof(challenge["token"])
    for wrong in ("f74999f990b9a16aed7d803478710802", ACCESS_KEY):
        refused = visitor.ask("POST", "login", username="admin", accessKey=wrong)
        assert refused == ("INVALID_USER_CREDENTIALS", "Invalid username or password")
    by_get = visitor.ask("GET", "login", username="admin", accessKey=key)
    assert by_get == ("INVALID_AUTH_TOKEN", "Specified token is invalid or expired")
    for _ in range(2):  # a token serves several logins
        login = visitor.ask("POST", "login", username="admin", accessKey=key)
        assert (login["userId"], login["vtigerVersion"], login["is_admin"]) == ("19x1", "8.2.0", "on")


def test_a_challenge_voids_the_one_before(visitor: Visitor) -> None:
    first, second = (visitor.ask("GET", "getchallenge", username="admin")["token"] for _ in range(2))
    assert visitor.ask("POST", "login", username="admin", accessKey=proof(first))[0] == "INVALID_USER_CREDENTIALS"
    assert "sessionName" in visitor.ask("POST", "login", username="admin", accessKey=proof(second))


def test_a_challenge_expires(visitor: Visitor, box: VtigerSandbox) -> None:
    token = visitor.ask("GET", "getchallenge", username="admin")["token"]
    box.advance(301)
    assert visitor.ask("POST", "login", username="admin", accessKey=proof(token))[0] == "INVALID_AUTH_TOKEN"


def test_sessions(visitor: Visitor, box: VtigerSandbox) -> None:
    good = visitor.session
    visitor.session = "deadbeef"
    assert visitor.ask("GET", "listtypes") == ("INVALID_SESSIONID", "Session Identifier provided is Invalid")
    visitor.session = ""
    assert visitor.ask("GET", "listtypes") == ("AUTHENTICATION_REQUIRED", "Authencation required")
    assert visitor.ask("POST", "extendsession") == ("AUTHENTICATION_FAILURE", "Authencation Failed")
    visitor.session = good
    assert visitor.ask("GET", "extendsession") == ("AUTHENTICATION_REQUIRED", "Authencation required")
    assert visitor.ask("POST", "extendsession")["sessionName"] == good
    box.advance(31 * 60)
    assert visitor.ask("GET", "listtypes")[0] == "SESSION_LEFT_IDLE"


def test_a_cookie_is_no_session(host: Host, visitor: Visitor) -> None:
    answer = httpx.get(f"{host.url}/webservice.php?operation=listtypes", cookies={"PHPSESSID": visitor.session})
    assert answer.json()["error"]["code"] == "AUTHENTICATION_REQUIRED"


@pytest.mark.parametrize("operation", ["", "frobnicate"])
def test_an_unknown_operation_crashes(visitor: Visitor, operation: str) -> None:
    answer = visitor.send("GET", operation=operation, sessionName=visitor.session)
    assert (answer.status_code, answer.text) == (500, "")


def test_a_json_body_crashes(host: Host, visitor: Visitor) -> None:
    body = {"operation": "create", "sessionName": visitor.session, "elementType": "Contacts", "element": {}}
    answer = httpx.post(f"{host.url}/webservice.php", json=body)
    assert (answer.status_code, answer.text) == (500, "")


def test_logout_crashes_and_the_session_stays(visitor: Visitor) -> None:
    assert visitor.send("POST", operation="logout", sessionName=visitor.session).status_code == 500
    assert "Contacts" in visitor.ask("GET", "listtypes")["types"]


# --- 02-describe -----------------------------------------------------------------------------------------------------


def test_describe(visitor: Visitor) -> None:
    contacts = visitor.ask("GET", "describe", elementType="Contacts")
    fields = {entry["name"]: entry for entry in contacts["fields"]}
    assert (contacts["idPrefix"], contacts["labelFields"]) == ("12", "firstname,lastname")
    assert list(fields)[:5] == ["salutationtype", "firstname", "contact_no", "phone", "lastname"]
    assert list(fields)[-1] == "id"
    assert len(fields) == 49
    assert [name for name, entry in fields.items() if entry["mandatory"]] == ["lastname", "assigned_user_id"]
    read_only = [name for name, entry in fields.items() if not entry["editable"]]
    assert read_only == ["contact_no", "createdtime", "modifiedtime", "source", "id"]
    assert fields["account_id"]["type"] == {"refersTo": ["Accounts"], "name": "reference"}
    unknown = visitor.ask("GET", "describe", elementType="Nope")
    assert unknown == ("ACCESS_DENIED", DENIED + " for name : Nope")
    assert visitor.ask("POST", "describe", elementType="Contacts") == ("ACCESS_DENIED", DENIED + " for name : ")


# --- 03-crud ---------------------------------------------------------------------------------------------------------


def test_create(visitor: Visitor) -> None:
    row = visitor.create(ZOE)
    assert list(row)[:2] == ["salutationtype", "firstname"]
    assert list(row)[-3:] == ["imagename", "id", "label"]
    assert (row["id"], row["contact_no"], row["source"]) == ("12x2", "CON1", "WEBSERVICE")
    assert row["label"] == "Zo&euml; O&#039;Brien &amp; S&oslash;n &lt;x&gt;"
    assert row["lastname"] == "O'Brien & Søn <x>"
    assert row["description"] == 'Line1\nLine2 "quoted" \\ back <b>bold</b> 日本語 ????'
    assert (row["donotcall"], row["emailoptout"], row["portal"], row["account_id"]) == ("1", "1", "0", "")
    assert row["createdtime"] == row["modifiedtime"] == "2026-11-22 01:43:33"
    assert visitor.ask("GET", "retrieve", id="12x2") == row


@pytest.mark.parametrize(
    ("element", "fault"),
    [
        ({"lastname": "NoOwner"}, "assigned_user_id does not have a value"),
        ({"firstname": "X", "assigned_user_id": "19x1"}, "lastname does not have a value"),
        ({"lastname": "", "assigned_user_id": "19x1"}, "lastname does not have a value"),
        ("{not json", "lastname does not have a value"),
    ],
)
def test_what_is_missing(visitor: Visitor, element: Any, fault: str) -> None:
    assert visitor.create(element) == ("MANDATORY_FIELDS_MISSING", fault)


@pytest.mark.parametrize(
    ("given", "stored"),
    [
        ({"nosuchfield": "1"}, {}),
        ({"leadsource": "Not A Value"}, {"leadsource": "Not A Value"}),
        ({"email": "not an email"}, {"email": "not an email"}),
        ({"birthday": "29/02/1980"}, {"birthday": "1980-02-29"}),
        ({"birthday": "12-31-1980"}, {"birthday": ""}),
        ({"assigned_user_id": "1"}, {"assigned_user_id": "19x1"}),
        ({"account_id": "11x99999"}, {"account_id": ""}),
        ({"lastname": "L" * 300}, {"lastname": "L" * 80}),
        (
            {"firstname": None, "donotcall": False, "phone": 12345},
            {"firstname": "", "donotcall": "0", "phone": "12345"},
        ),
        (
            {"createdtime": "2001-01-01 00:00:00", "contact_no": "HACK1", "source": "MYAPP"},
            {"createdtime": "2026-11-22 01:43:33", "contact_no": "CON1", "source": "MYAPP"},
        ),
    ],
)
def test_what_is_taken_without_a_word(visitor: Visitor, given: dict[str, Any], stored: dict[str, str]) -> None:
    row = visitor.create({"lastname": "Lee", "assigned_user_id": "19x1", **given})
    assert {name: row[name] for name in stored} == stored
    assert "nosuchfield" not in row


def test_a_bad_owner_leaves_the_row_and_no_json(visitor: Visitor) -> None:
    element = {"lastname": "BadOwner", "assigned_user_id": "19x999"}
    answer = visitor.send(
        "POST", operation="create", sessionName=visitor.session, elementType="Contacts", element=element
    )
    assert (answer.status_code, answer.text) == (200, "Sorry! Attempt to access restricted file.")
    [row] = visitor.query("select id, assigned_user_id from Contacts;")
    assert row == {"id": "12x2", "assigned_user_id": "999"}


def test_references(visitor: Visitor) -> None:
    contact = visitor.create(ZOE)["id"]
    wrong = visitor.create({**ZOE, "account_id": contact})
    assert wrong == ("REFERENCE_INVALID", "Invalid reference specified for account_id")
    account = visitor.create(ACME, "Accounts")
    assert (account["account_no"], account["employees"]) == ("ACC1", "0")
    assert visitor.create({**ZOE, "account_id": account["id"]})["account_id"] == account["id"]


def test_tags_lose_all_but_a_letter(visitor: Visitor) -> None:
    row = visitor.create({**ZOE, "tags": "red,blue", "starred": "1"})
    assert (row["tags"], row["starred"]) == ("", "1")
    assert visitor.query("select id,tags,starred from Contacts where starred='1';") == [
        {"id": row["id"], "tags": "r", "starred": "1"}
    ]


def test_verbs_and_modules(visitor: Visitor) -> None:
    assert visitor.create(ZOE, "Nope") == ("ACCESS_DENIED", DENIED)
    assert visitor.ask("GET", "create", elementType="Contacts", element=ZOE) == ("ACCESS_DENIED", DENIED)


@pytest.mark.parametrize(
    ("record", "fault"),
    [
        ("12x999999", ("ACCESS_DENIED", DENIED)),
        ("11x2", ("INVALID_ID_ATTRIBUTE", "Id specified is incorrect")),
        ("abc", ("ACCESS_DENIED", DENIED + " for id")),
        ("2", ("ACCESS_DENIED", DENIED)),
        ("", ("ACCESS_DENIED", DENIED + " for id")),
        ("99x1", ("ACCESS_DENIED", DENIED + " for id")),
    ],
)
def test_retrieve_what_is_not_there(visitor: Visitor, record: str, fault: tuple[str, str]) -> None:
    visitor.create(ZOE)
    assert visitor.ask("GET", "retrieve", id=record) == fault


def test_revise_and_update(visitor: Visitor, box: VtigerSandbox) -> None:
    contact = visitor.create(ZOE)["id"]

    def revise(**columns: Any) -> Any:
        return visitor.ask("POST", "revise", element={"id": contact, **columns})

    box.advance(2)
    assert revise(title="CEO")["modifiedtime"] == "2026-11-22 01:43:35"
    assert revise(title="CEO2", modifiedtime="2001-01-01 00:00:00")["modifiedtime"] == "2026-11-22 01:43:35"
    cleared = revise(department="", birthday="", othercity=None)
    assert (cleared["department"], cleared["birthday"], cleared["othercity"]) == ("", "", "")
    box.advance(1)
    assert revise(title="CEO2")["modifiedtime"] == "2026-11-22 01:43:36", "a save that changes nothing counts as one"
    assert revise(lastname="") == ("MANDATORY_FIELDS_MISSING", "lastname does not have a value")
    assert visitor.ask("POST", "revise", element={"lastname": "x"}) == ("ACCESS_DENIED", DENIED + " for id")
    assert visitor.ask("POST", "update", element={"id": contact, "title": "U1"})[0] == "MANDATORY_FIELDS_MISSING"
    element = {"id": contact, "lastname": "Upd", "assigned_user_id": "19x1"}
    updated = visitor.ask("POST", "update", element=element)
    assert (updated["label"], updated["email"]) == ("Zo&euml; Upd", "zoe@example.com"), "update merges"


def test_delete(visitor: Visitor) -> None:
    contact = visitor.create(ZOE)["id"]
    assert visitor.ask("POST", "delete", id=contact) == {"status": "successful"}
    for method, operation, params in (
        ("GET", "retrieve", {"id": contact}),
        ("POST", "delete", {"id": contact}),
        ("POST", "revise", {"element": {"id": contact, "title": "z"}}),
    ):
        assert visitor.ask(method, operation, **params) == ("ACCESS_DENIED", DENIED)
    assert visitor.query("select id from Contacts;") == []


# --- 04-query --------------------------------------------------------------------------------------------------------

LASTNAMES = ("UnkField", "BadPick", "BadMail", "BadDate", "Dup", "InAcme", "D'Arcy")


@pytest.fixture
def library(visitor: Visitor, box: VtigerSandbox) -> Visitor:
    box.seed({"lastname": name, "email": f"{name.lower()}@example.com"} for name in LASTNAMES[:5])
    box.seed([{"lastname": "InAcme", "accountname": "Acme Ltd"}, {"lastname": "D'Arcy", "birthday": "1980-02-29"}])
    return visitor


@pytest.mark.parametrize(
    ("where", "found"),
    [
        ("lastname='Dup'", ["Dup"]),
        ("lastname like 'Bad%'", ["BadPick", "BadMail", "BadDate"]),
        ("lastname in ('Dup','UnkField')", ["UnkField", "Dup"]),
        ("lastname!='Dup' and email like '%example.com'", ["UnkField", "BadPick", "BadMail", "BadDate"]),
        ("email='DUP@EXAMPLE.COM'", ["Dup"]),
        ("lastname='D''Arcy'", ["D'Arcy"]),
        ("lastname like 'D_Arcy'", ["D'Arcy"]),
        ("lastname='Dup' or lastname='UnkField' and email='nobody@example.com'", ["Dup"]),
        ("id='12x6'", ["Dup"]),
        ("id=12x6", ["Dup"]),
        ("id>'12x4' and id<'12x7'", ["BadDate", "Dup"]),
        ("account_id='11x7'", ["InAcme"]),
        ("birthday>'1980-01-01'", ["D'Arcy"]),
        ("modifiedtime>='2026-01-01T00:00:00Z' and id='12x6'", ["Dup"]),
        ("modifiedtime>1700000000 and id='12x6'", ["Dup"]),
        ("modifiedtime>='2026-11-22' and modifiedtime<'2027-01-01' and id='12x6'", ["Dup"]),
        ("modifiedtime>'2026-11-22 01:43:33'", []),
        ("assigned_user_id='19x1' and id='12x6'", ["Dup"]),
        ("lastname='and or'", []),
    ],
)
def test_conditions(library: Visitor, where: str, found: list[str]) -> None:
    rows = library.query(f"select lastname from Contacts where {where} order by id;")
    assert [row["lastname"] for row in rows] == found


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (
            "select * from Contacts",
            "Syntax Error on line 1: token 'Contacts' Unexpected End of Input(0), expected one of: SEMICOLON",
        ),
        (
            "select id from Contacts order by modifiedtime asc, id asc limit 3;",
            "Syntax Error on line 1: token ',' Unexpected COMMA(,), expected one of: SEMICOLON",
        ),
        (
            "select id from Contacts where email is null;",
            "Syntax Error on line 1: token 'is' Unexpected VALUE(is), expected one of: EQ,LT,GT,LTE,GTE,NE,IN,LIKE",
        ),
        (
            "select id from Contacts where lastname not like 'x%';",
            "Syntax Error on line 1: token 'not' Unexpected VALUE(not), expected one of: EQ,LT,GT,LTE,GTE,NE,IN,LIKE",
        ),
        (
            r"select id from Contacts where lastname='D\'Arcy';",
            "Syntax Error on line 1: token 'Arcy' Unexpected COLUMNNAME(Arcy), expected one of: SEMICOLON",
        ),
        (
            "select id from Contacts where (lastname='Dup' or lastname='RO') and email='zoe@example.com';",
            "Syntax Error on line 1: token '(' Unexpected PARENOPEN((), expected one of: COLUMNNAME",
        ),
        (
            "selec id from Contacts;",
            "Syntax Error on line 1: token 'selec' Unexpected Unknown(selec), expected one of: SELECT",
        ),
        (
            "select id from Contacts where;",
            "Syntax Error on line 1: token ';' Unexpected SEMICOLON(;), expected one of: COLUMNNAME",
        ),
        (
            "select id from Contacts where lastname='x'; drop table x;",
            "Syntax Error on line 1: token 'drop' Unexpected COLUMNNAME(drop), expected one of: ",
        ),
    ],
)
def test_syntax(library: Visitor, text: str, fault: str) -> None:
    assert library.query(text) == ("QUERY_SYNTAX_ERROR", fault)


@pytest.mark.parametrize(
    "where", ["email=''", "email like ''", 'lastname="InAcme"', "account_id.accountname='Acme Ltd'"]
)
def test_what_breaks_the_sql(library: Visitor, where: str) -> None:
    fault = ("INTERNAL_SERVER_ERROR", "Unknown Error while processing request")
    assert library.query(f"select id from Contacts where {where};") == fault


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("select id from contacts;", ("ACCESS_DENIED", DENIED + " for name : contacts")),
        (
            "select id from Contacts where deleted=1;",
            ("ACCESS_DENIED", "Permission to access deleted attribute denied."),
        ),
        ("select nosuch from Contacts;", ("ACCESS_DENIED", "Permission to access '.nosuch.' attribute denied.")),
        ("select id from Contacts where account_id='Acme';", ("INVALID_ID_ATTRIBUTE", "Id specified is incorrect")),
        ("", ("ACCESS_DENIED", DENIED + " for query")),
    ],
)
def test_what_may_not_be_asked(library: Visitor, text: str, fault: tuple[str, str]) -> None:
    assert library.query(text) == fault


def test_columns_counts_and_limits(library: Visitor, box: VtigerSandbox) -> None:
    assert library.query("select lastname,id from Contacts limit 1;") == [{"lastname": "UnkField", "id": "12x2"}]
    assert list(library.query("select firstname,lastname from Contacts limit 1;")[0]) == ["firstname", "lastname", "id"]
    assert library.query("select count(*) from Contacts;") == [{"count": "7"}]
    assert library.query("select id from Contacts limit 0;") == []
    assert library.query("select id from Contacts limit 1,2;") == [{"id": "12x3"}, {"id": "12x4"}]
    assert library.query("select id from Contacts order by id desc limit 2;") == [{"id": "12x9"}, {"id": "12x8"}]
    box.seed({"lastname": f"Bulk{n}"} for n in range(150))
    for limit in ("", " limit 500", " limit 0,500"):
        assert len(library.query(f"select id from Contacts{limit};")) == 100
    assert library.query("select id from Contacts limit 100000,2;") == []
    many = ",".join(f"'12x{n}'" for n in range(2, 522))
    assert len(library.query(f"select id from Contacts where id in ({many});")) == 100


def test_query_by_post(library: Visitor) -> None:
    refused = library.ask("POST", "query", query="select id from Contacts;")
    assert refused == ("ACCESS_DENIED", DENIED + " for query")


def test_hidden_rows_shorten_pages_and_are_counted(library: Visitor, box: VtigerSandbox) -> None:
    """Note A4: they are taken out after LIMIT."""
    box.hidden |= {"12x2", "12x3"}
    assert library.query("select id from Contacts order by id limit 3;") == [{"id": "12x4"}]
    assert library.query("select id from Contacts order by id limit 2;") == []
    assert library.query("select count(*) from Contacts;") == [{"count": "7"}]


def test_rows_of_one_second_have_no_order(library: Visitor) -> None:
    ids = [row["id"] for row in library.query("select id from Contacts order by modifiedtime;")]
    assert ids != sorted(ids, key=lambda record: int(record[3:]))


def test_entities_are_decoded_on_reading(visitor: Visitor) -> None:
    """Note A3 [S:v8]."""
    assert visitor.create({**ZOE, "title": "R&amp;D &#039;x&#039; &nope; &copy"})["title"] == "R&D 'x' &nope; &copy"


# --- 05-sync ---------------------------------------------------------------------------------------------------------


def test_sync_is_broken_in_stock(visitor: Visitor) -> None:
    params = {"sessionName": visitor.session, "modifiedTime": 1795311000, "elementType": "Contacts"}
    answer = visitor.send("GET", operation="sync", **params)
    assert (answer.status_code, answer.text) == (500, "")


def test_sync_never_splits_a_second(host: Host) -> None:
    box = serve(host, sync="working")
    visitor = Visitor(host.url).login()
    box.seed({"lastname": f"Early{n}"} for n in range(90))
    box.advance(1)
    box.seed({"lastname": f"Late{n}"} for n in range(30))
    box.advance(1)
    box.seed([{"lastname": "Last"}])
    params = {"sessionName": visitor.session, "elementType": "Contacts"}
    assert visitor.send("GET", operation="sync", modifiedTime=0, **params).status_code == 500
    first = visitor.ask("GET", "sync", modifiedTime=1, elementType="Contacts")
    assert (len(first["updated"]), first["more"]) == (120, True)
    assert first["lastModifiedTime"] == int(START.timestamp()) + 1
    second = visitor.ask("GET", "sync", modifiedTime=first["lastModifiedTime"], elementType="Contacts")
    assert ([row["lastname"] for row in second["updated"]], second["more"]) == (["Last"], False)
    box.edit(second["updated"][0]["id"], title="in the same second")
    third = visitor.ask("GET", "sync", modifiedTime=second["lastModifiedTime"], elementType="Contacts")
    assert third == {"updated": [], "deleted": [], "more": False, "lastModifiedTime": second["lastModifiedTime"]}
    visitor.close()


def test_sync_reports_deletions_and_converted_leads(host: Host) -> None:
    box = serve(host, sync="working")
    visitor = Visitor(host.url).login()
    [gone] = box.seed([{"lastname": "Gone"}])
    [lead] = box.seed([{"lastname": "Lead", "company": "LCo"}], "Leads")
    box.remove(gone)
    contact = box.convert(lead)
    synced = visitor.ask("GET", "sync", modifiedTime=1, elementType="Contacts")
    assert (synced["deleted"], [row["id"] for row in synced["updated"]]) == ([gone], [contact])
    assert visitor.ask("GET", "sync", modifiedTime=1, elementType="Leads")["deleted"] == [lead]
    assert visitor.query("select id from Leads;") == []
    assert visitor.ask("GET", "retrieve", id=lead)["lastname"] == "Lead", "it is still there to be read"
    visitor.close()


def test_sync_scopes(host: Host) -> None:
    box = serve(host, sync="working", admin=False)
    visitor = Visitor(host.url).login()
    [mine, theirs] = box.seed([{"lastname": "Mine"}, {"lastname": "Theirs", "assigned_user_id": "19x5"}])
    own = visitor.ask("GET", "sync", modifiedTime=1, elementType="Contacts")
    assert [row["id"] for row in own["updated"]] == [mine]
    refused = visitor.ask("GET", "sync", modifiedTime=1, elementType="Contacts", syncType="application")
    assert refused == ("ACCESS_DENIED", "Only admin users can perform application sync")
    box.options.admin = True
    everybody = visitor.ask("GET", "sync", modifiedTime=1, elementType="Contacts", syncType="application")
    assert {row["id"] for row in everybody["updated"]} == {mine, theirs}
    box.options.scopes = False
    stock = visitor.ask("GET", "sync", modifiedTime=1, elementType="Contacts", syncType="application")
    assert [row["id"] for row in stock["updated"]] == [mine]
    visitor.close()


# --- 08, 09, cloud ---------------------------------------------------------------------------------------------------


def test_times_are_the_servers(host: Host) -> None:
    box = serve(host, zone=3600)
    box.seed([{"lastname": "Lee"}])
    assert box.rows()[0]["modifiedtime"] == "2026-11-22 02:43:33"


def test_duplicates_where_there_is_a_rule(host: Host) -> None:
    box = serve(host, unique=["email"])
    visitor = Visitor(host.url).login()
    box.seed([{"lastname": "One", "email": "bulk00001@example.com"}])
    assert visitor.create({**ZOE, "email": "BULK00001@example.com"}) == (0, "Duplicate(s) detected!")
    contact = visitor.create({**ZOE, "email": "uniq-y@example.com"})["id"]
    element = {"id": contact, "email": "bulk00001@example.com"}
    assert visitor.ask("POST", "revise", element=element) == (0, "Duplicate(s) detected!")
    visitor.close()


def test_cloud(host: Host) -> None:
    """Note, part B: HTTP Basic, failures are 400."""
    serve(host, cloud=True)
    rest = httpx.Client(base_url=host.url + "/restapi/v1/vtiger/default", auth=("admin", ACCESS_KEY))
    assert rest.get("/me").json()["result"]["id"] == "19x1"
    assert httpx.get(f"{rest.base_url}me", auth=("admin", "wrong")).status_code == 401
    created = rest.post("/create", data={"elementType": "Contacts", "element": json.dumps(ZOE)})
    assert created.json()["result"]["id"] == "12x2"
    failed = rest.post("/create", data={"elementType": "Contacts", "element": "{}"})
    assert (failed.status_code, failed.json()["error"]["code"]) == (400, "MANDATORY_FIELDS_MISSING")
    assert rest.get("/query", params={"query": "select count(*) from Contacts;"}).json()["result"] == [{"count": "1"}]
    rest.close()


def test_the_parser_knows_the_whole_grammar() -> None:
    query = vtql.parse(
        "SELECT a , b FROM Contacts WHERE x IN ('1','2') AND y>=3 OR z LIKE 'q%' ORDER BY a,b DESC LIMIT 5,10;"
    )
    assert (query.columns, query.module, query.order, query.descending) == (["a", "b"], "Contacts", ["a", "b"], True)
    assert (query.offset, query.limit) == (5, 10)
    assert [[condition.column for condition in group] for group in query.where] == [["x", "y"], ["z"]]
