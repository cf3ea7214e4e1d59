"""A vCard understood: which of its lines is what (`survey`), and the card that it makes (`read`)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from connectors.card import Card, components, full_name
from connectors.contentline import Line, Params, VCard, split, unescape
from connectors.vcardfields import DECODERS, LABELLED, LISTS, is_country
from connectors.vcardparams import PARAMS, PARTNERS, kept_groups, partnered

PROPS: Final = "vCardProps"

PHONETIC: Final = {
    "X-PHONETIC-FIRST-NAME": "given",
    "X-PHONETIC-MIDDLE-NAME": "given2",
    "X-PHONETIC-LAST-NAME": "surname",
}
KINDS: Final = ("KIND", "X-ADDRESSBOOKSERVER-KIND", "X-ABSHOWAS")
_SINGLE: Final = frozenset({"N", "FN", *PHONETIC, *KINDS})
"""The properties of the name and the kind; of each, the first counts."""
_ONCE: Final = frozenset({"BDAY", "DEATHDATE"})
DROPPED: Final = frozenset({"", "BEGIN", "END", "VERSION", "PRODID", "REV", "UID"})


@dataclass(slots=True)
class Source:
    """A line and the elements in it; None for those that shall go."""

    field: str
    index: int
    elements: list[dict[str, Any] | None]
    partners: tuple[int, ...] = ()


@dataclass(slots=True)
class Survey:
    """Which line of a vCard is what.

    singles, places: the lines of the name and the kind, and where they stand. props: where the lines stand that no
    field holds.
    """

    sources: list[Source] = field(default_factory=list)
    singles: dict[str, Line] = field(default_factory=dict)
    places: dict[str, int] = field(default_factory=dict)
    props: list[int] = field(default_factory=list)
    blobs: dict[str, bytes] = field(default_factory=dict)


def read(vcard: VCard) -> tuple[Card, dict[str, bytes]]:
    """The card (element ids are positions, "1" on), and the bytes of its photos by their uri."""
    found = survey(vcard.lines)
    card = fields_of(found.sources)
    if name := name_of(found.singles, card):
        card["name"] = name
    if kind := kind_of(found.singles):
        card["kind"] = kind
    if found.props:
        card[PROPS] = [prop_of(vcard.lines[index]) for index in found.props]
    return card, found.blobs


def survey(lines: Sequence[Line]) -> Survey:
    """Which line of a card is what."""
    found = Survey()
    partners = _partners(lines)
    once: set[str] = set()
    for index, line in enumerate(lines):
        name = line.name
        if name in DECODERS:
            _place(found, index, line, _texts(lines, partners, line.group) if line.group else {}, once)
        elif name in _SINGLE:
            _single(found, index, line)
        elif name not in DROPPED and (name not in PARTNERS or _text(line)):
            found.props.append(index)
    if partners or any(line.group for line in lines):
        _tie(found, lines, partners)
    return found


def _single(found: Survey, index: int, line: Line) -> None:
    """Place a line of the name or the kind: the first that says something counts."""
    slot = "KIND" if line.name in KINDS else line.name
    says = bool(_kind(line)) if slot == "KIND" else line.name in ("N", "FN") or bool(_text(line))
    if says and slot not in found.singles:
        found.singles[slot] = line
        found.places[slot] = index
    elif says or _kind(line) is None:
        found.props.append(index)


def _texts(lines: Sequence[Line], partners: Mapping[str, Mapping[str, int]], group: str) -> dict[str, str]:
    return {name: _text(lines[index]) for name, index in partners.get(group.lower(), {}).items()}


def _place(found: Survey, index: int, line: Line, partners: Mapping[str, str], once: set[str]) -> None:
    kind, decode = DECODERS[line.name]
    elements = decode(line, partners, found.blobs) if line.name not in once else None
    if elements:
        found.sources.append(Source(kind, index, list(elements)))
        if line.name in _ONCE:
            once.add(line.name)
    elif elements is None:
        found.props.append(index)


def _partners(lines: Sequence[Line]) -> dict[str, dict[str, int]]:
    """{group: {name: where}} of the lines that explain another; of two, the first."""
    found: dict[str, dict[str, int]] = {}
    for index, line in enumerate(lines):
        if (
            line.group
            and line.name in PARTNERS
            and (is_country(text := _text(line)) or (text and line.name != "X-ABADR"))
        ):
            found.setdefault(line.group.lower(), {}).setdefault(line.name, index)
    return found


def _text(line: Line) -> str:
    return unescape(line.value).strip()


def _tie(found: Survey, lines: Sequence[Line], partners: Mapping[str, Mapping[str, int]]) -> None:
    """Give the lines that only explain another to that line, and note in the elements what groups remain."""
    taken: set[int] = set()
    for source in found.sources:
        line = lines[source.index]
        explains = partners.get(line.group.lower(), {})
        source.partners = tuple(explains[name] for name in _explained_by(source, line) if name in explains)
        taken.update(source.partners)
    found.props = [index for index in found.props if index not in taken]
    grouped = [source for source in found.sources if lines[source.index].group and source.field not in LISTS]
    members = [(lines[s.index].group.lower(), any(partnered(s.field, e or {}) for e in s.elements)) for s in grouped]
    kept = kept_groups(members, (lines[index].group.lower() for index in found.props))
    for source in (source for source, keeps in zip(grouped, kept, strict=True) if keeps):
        group = lines[source.index].group
        source.elements = [_with_group(element, group) for element in source.elements if element]


def _explained_by(source: Source, line: Line) -> Iterator[str]:
    if source.field in LABELLED and line.name not in ("BDAY", "ANNIVERSARY", "DEATHDATE"):
        yield "X-ABLABEL"
    if source.field == "addresses":
        yield "X-ABADR"


def _with_group(element: dict[str, Any], group: str) -> dict[str, Any]:
    return {**element, PARAMS: {**element.get(PARAMS, {}), "group": group}}


def fields_of(sources: Iterable[Source]) -> dict[str, Any]:
    """The card's fields of elements."""
    card: dict[str, Any] = {}
    for source in sources:
        elements = card.setdefault(source.field, {})
        for element in source.elements:
            if element:
                elements[str(len(elements) + 1)] = element
    return {key: elements for key, elements in card.items() if elements}


def prop_of(line: Line) -> list[Any]:
    """A line as in `vCardProps`."""
    params: dict[str, Any] = {"group": line.group} if line.group else {}
    for name, values in line.params:
        if name != "VALUE":
            params[name.lower()] = values[0] if len(values) == 1 else list(values)
    return [line.name.lower(), params, next(iter(line.param("VALUE")), "unknown"), line.value]


# --- the name and the kind ----------------------------------------------------------------------------------

N_PARTS: Final = ("surname", "given", "given2", "title", "credential", "surname2", "generation")


def name_of(singles: Mapping[str, Line], fields: Card) -> dict[str, Any]:
    """The card\'s name; `fields` are its other fields, of which FN may be made."""
    name: dict[str, Any] = {}
    parts = n_parts(singles["N"].value) if "N" in singles else {}
    spoken = {kind: unescape(singles[x].value).strip() for x, kind in PHONETIC.items() if x in singles}
    if found := with_phonetics(parts, spoken):
        name["components"] = found
    if "N" in singles and (params := _params_kept(singles["N"].params)):
        name[PARAMS] = params
    full = unescape(singles["FN"].value).strip() if "FN" in singles else ""
    if full and loose(full) != loose(shown({**fields, "name": name})):
        name["full"] = full
    return name


def n_parts(value: str) -> dict[str, str]:
    """The components of N, those of RFC 9554 (second surname, generation) included, which repeat in their
    elders' lists."""
    pieces = [_listing(text) for text in split(value, ";")]
    for elder, younger in ((0, 5), (4, 6)):
        for again in pieces[younger] if len(pieces) > younger else ():
            if again in pieces[elder]:
                pieces[elder].reverse()
                pieces[elder].remove(again)
                pieces[elder].reverse()
    return dict(zip(N_PARTS, (" ".join(texts) for texts in pieces), strict=False))


def _listing(value: str) -> list[str]:
    pieces = split(value, ",") if "," in value else [value]
    if any(piece[:1] == " " for piece in pieces[1:]):  # "Smith, John" is a text of somebody who escapes nothing
        return [unescape(value).strip()]
    return [text for piece in pieces if (text := unescape(piece).strip())]


def with_phonetics(parts: Mapping[str, str], spoken: Mapping[str, str]) -> list[dict[str, str]]:
    """Name components of their texts and their sounds, both {kind: text}."""
    if not any(spoken.values()):
        return components(parts)
    # A placeholder keeps a component that is known by its sound only.
    found = components(
        {**{kind: "\0" for kind, sound in spoken.items() if sound}, **{k: v for k, v in parts.items() if v}}
    )
    return [
        {
            "kind": component["kind"],
            "value": component["value"].replace("\0", ""),
            **({"phonetic": spoken[component["kind"]]} if spoken.get(component["kind"]) else {}),
        }
        for component in found
    ]


def _params_kept(params: Params) -> dict[str, Any]:
    return {name.lower(): values[0] if len(values) == 1 else list(values) for name, values in params if name != "TYPE"}


def shown(card: Card) -> str:
    """What FN is to be where the name has no full form of its own: the components, else the best there is."""
    name = card.get("name", {})
    composed = " ".join(c["value"] for c in name.get("components", ()) if c["value"])
    return composed or full_name({key: value for key, value in card.items() if key != "name"})


def loose(text: str) -> str:
    """The text with all blanks alike: how FN is compared."""
    return " ".join(text.split())


def fn_of(card: Card) -> str:
    """The text of FN."""
    return str(card.get("name", {}).get("full") or shown(card))


def _kind(line: Line) -> str | None:
    """The kind that a line says, "" for an individual; None where it says something else."""
    value = _text(line).lower()
    if line.name == "X-ABSHOWAS":
        return "org" if value == "company" else None if value else ""
    return "" if value == "individual" else value


def kind_of(singles: Mapping[str, Line]) -> str:
    """The card's kind, "" for an individual."""
    return _kind(singles["KIND"]) or "" if "KIND" in singles else ""
