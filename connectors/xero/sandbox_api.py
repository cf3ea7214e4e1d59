"""What the endpoints of the sandbox answer: queries, pages, rows. Sources as in `sandbox_books`."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from fastapi import Request

from connectors.xero.sandbox_books import BadQuery, Books, Invalid, NoSuchThing, Row

DEFAULT_PAGE: Final = 100
LONGEST_QUERY: Final = 2_048
"""Characters of a query (K: the usual limit of Xero's kind of server)."""
CONTACTS: Final = ("accounting.contacts",)
SALES: Final = ("accounting.invoices", "accounting.transactions")
_CONDITION: Final = re.compile(r'(\w+)\s*==\s*(?:"([^"]*)"|(true|false))')

Act = Callable[[Books, Request, Any], Mapping[str, Any] | None]
"""What an endpoint does: (organisation, request, body) -> the answer; None: HTTP 204."""


# --- contacts --------------------------------------------------------------------------------------------------------


def list_contacts(books: Books, request: Request, body: Any) -> Mapping[str, Any]:
    """Archiving is invisible without includeArchived; without a page the rows are thin (note: Read)."""
    archived = request.query_params.get("includeArchived") == "true"
    there = [row for row in books.contacts.values() if archived or row["ContactStatus"] == "ACTIVE"]
    rows, pagination = _listing(books, there, request, "ContactID")
    shown = [books.show(row, thin=pagination is None) for row in rows]
    return {**({"pagination": pagination} if pagination else {}), "Contacts": shown}


def one_contact(books: Books, request: Request, body: Any) -> Mapping[str, Any]:
    return {"Contacts": [books.show(books.find(request.path_params["name"]))]}


def write_contacts(books: Books, request: Request, body: Any) -> Mapping[str, Any]:
    """Without summarizeErrors=false one bad row fails all (spec)."""
    summarize = request.query_params.get("summarizeErrors", "true") == "true"
    before = copy.deepcopy((books.contacts, books.groups)) if summarize else ({}, {})
    rows = books.write(body.get("Contacts", ()), create=request.method == "PUT")
    bad = [row for row in rows if row["StatusAttributeString"] == "ERROR"]
    if summarize and bad:
        books.contacts, books.groups = before
        raise Invalid(bad)
    return {"Contacts": rows}


# --- groups ----------------------------------------------------------------------------------------------------------


def list_groups(books: Books, request: Request, body: Any) -> Mapping[str, Any]:
    return {"ContactGroups": [books.show_group(group) for group in books.groups.values()]}


def put_groups(books: Books, request: Request, body: Any) -> Mapping[str, Any]:
    made = [books.put_group(str(group.get("Name", ""))) for group in body.get("ContactGroups", ())]
    return {"ContactGroups": [books.show_group(group) for group in made]}


def join(books: Books, request: Request, body: Any) -> Mapping[str, Any]:
    group = books.living_group(request.path_params["group"])
    members = [books.find(str(row.get("ContactID", "")))["ContactID"] for row in body.get("Contacts", ())]
    books.join(group["ContactGroupID"], members)
    return {"Contacts": [{"ContactID": member} for member in members]}


def leave(books: Books, request: Request, body: Any) -> None:
    group = books.living_group(request.path_params["group"])
    contact = request.path_params["contact"].lower()
    if contact not in group["members"]:
        raise NoSuchThing
    books.leave(group["ContactGroupID"], contact)


# --- what was sold ---------------------------------------------------------------------------------------------------


def _documents(kind: str, key: str) -> Act:
    def act(books: Books, request: Request, body: Any) -> Mapping[str, Any]:
        """Lines come with pages only (note: Facts)."""
        rows, pagination = _listing(books, list(books.documents[kind].values()), request, key)
        shown = [row if pagination else {k: v for k, v in row.items() if k != "LineItems"} for row in rows]
        return {**({"pagination": pagination} if pagination else {}), kind: shown}

    return act


ENDPOINTS: Final[Sequence[tuple[str, str, Sequence[str], Act]]] = (
    ("GET", "/Contacts", CONTACTS, list_contacts),
    ("PUT", "/Contacts", CONTACTS, write_contacts),
    ("POST", "/Contacts", CONTACTS, write_contacts),
    ("GET", "/Contacts/{name}", CONTACTS, one_contact),
    ("GET", "/ContactGroups", CONTACTS, list_groups),
    ("PUT", "/ContactGroups", CONTACTS, put_groups),
    ("PUT", "/ContactGroups/{group}/Contacts", CONTACTS, join),
    ("DELETE", "/ContactGroups/{group}/Contacts/{contact}", CONTACTS, leave),
    ("GET", "/Invoices", SALES, _documents("Invoices", "InvoiceID")),
    ("GET", "/CreditNotes", SALES, _documents("CreditNotes", "CreditNoteID")),
)
"""(method, path, scopes of which one is needed, what it does); to read, the scope may end in `.read`."""


# --- queries ---------------------------------------------------------------------------------------------------------


def _listing(books: Books, rows: Sequence[Row], request: Request, name: str) -> tuple[list[Row], Row | None]:
    """Filtered, in order, and the page that was asked for (note: Read)."""
    query = request.query_params
    if len(request.url.query) > LONGEST_QUERY:
        raise NoSuchThing
    found = [row for row in rows if _since(row) > _header(request)]
    if wanted := query.get("IDs"):
        ids = {_uuid(text) for text in wanted.split(",")}
        found = [row for row in found if row[name] in ids]
    if where := query.get("where"):
        found = [row for row in found if _matches(row, where)]
    word, _, direction = query.get("order", "").partition(" ")
    if word:
        found.sort(key=lambda row: _sortable(row, word), reverse=direction.upper() == "DESC")
    if "page" not in query:
        return found, None
    size = min(int(query.get("pageSize", DEFAULT_PAGE)), books.page_cap)
    page = int(query["page"])
    shown = found[(page - 1) * size : page * size]
    count = -(-len(found) // size)
    return shown, {"page": page, "pageSize": size, "pageCount": count, "itemCount": len(found)}


def _since(row: Row) -> int:
    return int(re.findall(r"\d+", row["UpdatedDateUTC"])[0])


def _sortable(row: Row, word: str) -> Any:
    return _since(row) if word == "UpdatedDateUTC" else str(row.get(word, "")).casefold()


def _header(request: Request) -> int:
    """If-Modified-Since in milliseconds; its moment itself is not included (K, the harsher)."""
    text = request.headers.get("if-modified-since")
    if not text:
        return -1
    try:
        at = datetime.fromisoformat(text.removesuffix("Z")).replace(tzinfo=UTC)
    except ValueError:
        raise BadQuery("If-Modified-Since is not a date") from None
    return int(at.timestamp() * 1000)


def _uuid(text: str) -> str:
    if not re.fullmatch(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", text):
        raise BadQuery(f"{text} is not a valid Guid")
    return text.lower()


def _matches(row: Row, where: str) -> bool:
    """Conditions of the form Name=="…", joined by AND (note: where; K)."""
    conditions = [_CONDITION.fullmatch(part.strip()) for part in re.split(r"\s+AND\s+|&&", where)]
    if not all(conditions):
        raise BadQuery(f"The where clause {where} cannot be parsed")
    return all(
        (str(row.get(c[1], "")) == c[2]) if c[2] is not None else (row.get(c[1]) is (c[3] == "true"))
        for c in conditions
        if c
    )
