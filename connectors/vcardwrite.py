"""What a vCard can hold of a card (`fit_vcard`), and a new vCard of it (`write`)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import orjson

from connectors.card import VALUE, Card, Element, part
from connectors.contentline import Line, Params, clean, escape, render, split
from connectors.vcardfields import LISTS, encode, fit_element, fit_text
from connectors.vcardparams import PARAMS, Draft, fit_params, kept_groups, listed, partnered
from connectors.vcardread import (
    DROPPED,
    N_PARTS,
    PHONETIC,
    PROPS,
    fn_of,
    loose,
    n_parts,
    prop_of,
    shown,
    with_phonetics,
)

Blob = Callable[[str], bytes]
"""Gives the bytes of a photo by its uri; b"" where it has none."""


def fit_vcard(card: Card) -> Card:
    """What a vCard (of any version) can hold of the card; element ids stay. Stable."""
    fitted: dict[str, Any] = {}
    for key in VALUE:
        if key not in card:
            continue
        elements = {at: held for at, element in card[key].items() if (held := fit_element(key, element))}
        if key == "anniversaries":
            elements = _once(elements)
        if elements:
            fitted[key] = elements
    if name := _fit_name(card.get("name", {}), fitted):
        fitted["name"] = name
    kind = fit_text(card.get("kind")).lower()
    if kind and kind != "individual":
        fitted["kind"] = kind
    if props := [fit for prop in card.get(PROPS, ()) if (fit := fit_prop(prop))]:
        fitted[PROPS] = props
    if any(_groups_of(fitted)):
        _fit_groups(fitted)
    return fitted


def _fit_groups(fitted: dict[str, Any]) -> None:
    """Take the groups that say nothing out of the elements, which are ours to change."""
    elements = [(key, element) for key in VALUE for element in fitted.get(key, {}).values() if _group(element)]
    members = [(_group(element).lower(), partnered(key, element)) for key, element in elements if key not in LISTS]
    kept = iter(kept_groups(members, (str(prop[1].get("group", "")).lower() for prop in fitted.get(PROPS, ()))))
    for key, element in elements:
        if key in LISTS or not next(kept):
            del element[PARAMS]["group"]
            if not element[PARAMS]:
                del element[PARAMS]


def _group(element: Element) -> str:
    return str(element.get(PARAMS, {}).get("group", ""))


def _once(elements: dict[str, Any]) -> dict[str, Any]:
    """One birth and one death."""
    seen: set[str] = set()
    kept = {}
    for key, element in elements.items():
        if element["kind"] not in seen:
            kept[key] = element
        if element["kind"] in ("birth", "death"):
            seen.add(element["kind"])
    return kept


def _fit_name(name: Mapping[str, Any], fields: Card) -> dict[str, Any]:
    parts = {kind: fit_text(part(name, kind)) for kind in N_PARTS}
    spoken = {
        c["kind"]: fit_text(c.get("phonetic")) for c in name.get("components", ()) if c["kind"] in PHONETIC.values()
    }
    fitted: dict[str, Any] = {}
    if found := with_phonetics(parts, spoken):
        fitted["components"] = found
    if params := fit_params(name.get(PARAMS), frozenset({"TYPE"})):
        params.pop("group", None)
        fitted |= {PARAMS: params} if params else {}
    full = fit_text(name.get("full"))
    if full and loose(full) != loose(shown({**fields, "name": fitted})):
        fitted["full"] = full
    return fitted


def fit_prop(prop: Any) -> list[Any] | None:
    """An entry of `vCardProps` as it comes back; None for one that is none."""
    if not (
        isinstance(prop, Sequence) and len(prop) >= 4 and isinstance(prop[0], str) and isinstance(prop[1], Mapping)
    ):
        return None
    line = prop_line(prop)
    return prop_of(line) if re.match(r"[\w/-]+\Z", line.name) and line.name not in DROPPED else None


def prop_line(prop: Sequence[Any]) -> Line:
    """An entry of `vCardProps` as a line."""
    params = {name.upper(): tuple(map(clean, listed(value))) for name, value in prop[1].items() if name != "group"}
    if prop[2] != "unknown":
        params = {"VALUE": (str(prop[2]).lower(),), **params}
    value = ",".join(text if isinstance(text, str) else orjson.dumps(text).decode() for text in prop[3:])
    return Line(prop[0].upper(), tuple(params.items()), clean(value).replace("\n", "\\n"), prop[1].get("group", ""))


# --- the name and the kind ----------------------------------------------------------------------------------


def kind_draft(kind: str, version: str) -> Draft:
    """The line that says the kind, in the dialect of phones for vCard 3.0."""
    if kind == "org" and not version.startswith("4"):
        return Draft("X-ABSHOWAS", (), "COMPANY")
    if kind == "group" and not version.startswith("4"):
        return Draft("X-ADDRESSBOOKSERVER-KIND", (), "group")
    return Draft("KIND", (), escape(kind))


def n_draft(name: Mapping[str, Any], like: Line | None = None) -> Draft:
    """The N of a name; parts that `like` has already stay as they are written there."""
    values = [part(name, kind) for kind in N_PARTS]
    texts = [escape(value) for value in values]
    for elder, younger, pair in ((0, 5, (0, 5)), (4, 6, (6, 4))):
        if values[younger]:
            texts[elder] = ",".join(texts[n] for n in pair if texts[n])
    if not values[5] and not values[6]:
        texts = texts[:5]
    if like:
        old, was = split(like.value, ";"), n_parts(like.value)
        same = [was.get(kind, "") == value for kind, value in zip(N_PARTS, values, strict=True)]
        twin = {0: 5, 4: 6, 5: 0, 6: 4}
        texts = [old[n] if n < len(old) and same[n] and same[twin.get(n, n)] else text for n, text in enumerate(texts)]
    params = tuple((key.upper(), tuple(listed(value))) for key, value in name.get(PARAMS, {}).items())
    return Draft("N", params, ";".join(texts))


def phonetic_drafts(name: Mapping[str, Any]) -> Iterator[Draft]:
    """The lines that say how a name sounds."""
    for x, kind in PHONETIC.items():
        for component in name.get("components", ()):
            if component["kind"] == kind and component.get("phonetic"):
                yield Draft(x, (), escape(component["phonetic"]))


# --- writing ------------------------------------------------------------------------------------------------


class Writer:
    """Makes lines of one version; knows which groups are taken."""

    def __init__(
        self, version: str, newline: str = "\r\n", taken: Iterable[str] = (), blob: Blob | None = None
    ) -> None:
        self.version, self.newline, self.blob = version, newline, blob
        self._taken = {group.lower() for group in taken}
        self._next = 1

    def line(self, name: str, value: str, params: Params = (), group: str = "") -> str:
        """The text of one line."""
        return render(Line(name, params, value, group), self.version, self.newline)

    def draft(self, draft: Draft, group: str = "") -> str:
        """A line and its partners, in a group if it has some."""
        group = group or (self.free_group() if draft.partners else "")
        lines = [self.line(draft.name, draft.value, draft.params, group)]
        return "".join([*lines, *(self.line(name, value, (), group) for name, value in draft.partners)])

    def free_group(self) -> str:
        """A group that nobody is in, taken now."""
        while f"item{self._next}" in self._taken:
            self._next += 1
        self._taken.add(f"item{self._next}")
        return f"item{self._next}"

    def elements(self, name: str, elements: Iterable[Element]) -> Iterator[str]:
        """The lines of these elements of a field."""
        for group in _bundles(name, list(elements)):
            draft = encode(name, group, self.version, None, self.blob)
            if draft:
                yield self.draft(draft, _group(group[0]))

    def prop(self, prop: Sequence[Any]) -> str:
        """The line of an entry of `vCardProps`."""
        line = prop_line(prop)
        return self.line(line.name, line.value, line.params, line.group)


def _bundles(name: str, elements: list[Element]) -> Iterator[list[Element]]:
    """Elements that go into one line."""
    if name not in LISTS:
        yield from ([element] for element in elements)
        return
    bundles: dict[bytes, list[Element]] = {}
    for element in elements:
        bundles.setdefault(beside(element), []).append(element)
    yield from bundles.values()


def beside(element: Element) -> bytes:
    """What an element says beside its name, as a key."""
    return key_of({key: value for key, value in element.items() if key != "name"})


def key_of(value: Any) -> bytes:
    """A JSON value as a key."""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


def _groups_of(card: Card) -> Iterator[str]:
    for prop in card.get(PROPS, ()):
        yield prop[1].get("group", "")
    for name in VALUE:
        for element in card.get(name, {}).values():
            yield _group(element)


def write(
    card: Card, version: str = "3.0", *, uid: str | None, rev: datetime | None = None, blob: Blob | None = None
) -> str:
    """A new vCard of `fit_vcard(card)`, lines ended by CRLF.

    version: "3.0" or "4.0". rev: when it last changed, aware. Photos whose bytes `blob` does not give are left out.
    """
    if version not in ("3.0", "4.0"):
        raise ValueError(f"vCards are written in version 3.0 or 4.0, not {version!r}")
    card = fit_vcard(card)
    writer = Writer(version, taken=_groups_of(card), blob=blob)
    name = card.get("name", {})
    text = [writer.line("BEGIN", "VCARD"), writer.line("VERSION", version)]
    if uid:
        text.append(writer.line("UID", escape(uid)))
    if "kind" in card:
        text.append(writer.draft(kind_draft(card["kind"], version)))
    drafts = [Draft("FN", (), escape(fn_of(card))), n_draft(name), *phonetic_drafts(name)]
    text += [writer.draft(draft) for draft in drafts]
    for key in VALUE:
        text += writer.elements(key, card.get(key, {}).values())
    text += [writer.prop(prop) for prop in card.get(PROPS, ())]
    if rev:
        form = "%Y%m%dT%H%M%SZ" if version == "4.0" else "%Y-%m-%dT%H:%M:%SZ"
        text.append(writer.line("REV", rev.astimezone(UTC).strftime(form)))
    text.append(writer.line("END", "VCARD"))
    return "".join(text)
