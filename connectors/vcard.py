"""vCard 2.1, 3.0 and 4.0 to and from the card.

    for found in parse(data):            a VCard, or a Broken with the reason
        card, blobs = read(found)
    text = write(card, "3.0", uid=…)     a new vCard
    text = patch(text, before, after)    only the lines of what changed; all others stay byte for byte

`fit_vcard` is what a vCard can hold of a card: `read` of what `write` wrote gives it, up to element ids. What a vCard
holds and our profile does not is in the card as `vCardProps`, arrays of [name, parameters, type, value] as in RFC
9555, the value as it stands in a vCard 3.0, escapes included. Dropped are VERSION, PRODID and REV, and of the card
`keywords`, `organizationId`s and unknown fields. UID is not in the card: see `VCard.uid`.
Contact groups that are cards of their own: `group_of`, `with_members`, `write_group`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import groupby
from typing import Any, Final

import orjson

from connectors.card import SLOT, VALUE, Card, Element, card_of, components, full_name, leaves, part
from connectors.contentline import Broken, Line, Params, VCard, clean, escape, parse, render, split, unescape
from connectors.errors import Refused
from connectors.vcardfields import DECODERS, LABELLED, LISTS, encode, fit_element, fit_text
from connectors.vcardparams import PARAMS, PARTNERS, Draft, fit_params, listed

__all__ = [
    "Broken",
    "Group",
    "VCard",
    "fit_vcard",
    "group_of",
    "parse",
    "patch",
    "read",
    "with_members",
    "write",
    "write_group",
]

PROPS: Final = "vCardProps"
Blob = Callable[[str], bytes]
"""Gives the bytes of a photo by its uri; b"" where it has none."""

_PHONETIC: Final = {
    "X-PHONETIC-FIRST-NAME": "given",
    "X-PHONETIC-MIDDLE-NAME": "given2",
    "X-PHONETIC-LAST-NAME": "surname",
}
_KINDS: Final = ("KIND", "X-ADDRESSBOOKSERVER-KIND", "X-ABSHOWAS")
_SINGLE: Final = frozenset({"N", "FN", *_PHONETIC, *_KINDS})
"""The properties of the name and the kind; of each, the first counts."""
_ONCE: Final = frozenset({"BDAY", "DEATHDATE"})
_DROPPED: Final = frozenset({"", "BEGIN", "END", "VERSION", "PRODID", "REV", "UID"})
_MEMBERS: Final = ("X-ADDRESSBOOKSERVER-MEMBER", "MEMBER")
_URN: Final = "urn:uuid:"


# --- reading ------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Source:
    """A line and the elements in it; None for those that shall go."""

    field: str
    index: int
    elements: list[dict[str, Any] | None]
    partners: tuple[int, ...] = ()


@dataclass(slots=True)
class _Survey:
    """A vCard understood: which line is what. `props` are the lines that no field holds."""

    sources: list[_Source] = field(default_factory=list)
    singles: dict[str, Line] = field(default_factory=dict)
    places: dict[str, int] = field(default_factory=dict)
    props: list[int] = field(default_factory=list)
    blobs: dict[str, bytes] = field(default_factory=dict)


def read(vcard: VCard) -> tuple[Card, dict[str, bytes]]:
    """The card (element ids are positions, "1" on), and the bytes of its photos by their uri."""
    survey = _survey(vcard.lines)
    card = _fields(survey.sources)
    if name := _name(survey.singles, card):
        card["name"] = name
    if kind := _kind(survey.singles):
        card["kind"] = kind
    if survey.props:
        card[PROPS] = [_prop(vcard.lines[index]) for index in survey.props]
    return card, survey.blobs


def _survey(lines: Sequence[Line]) -> _Survey:
    found = _Survey()
    partners = _partners(lines)
    once: set[str] = set()
    for index, line in enumerate(lines):
        name = line.name
        if name in DECODERS:
            _place(found, index, line, partners.get(line.group.lower(), {}) if line.group else {}, once)
        elif name in _SINGLE and name not in found.singles and (name not in _KINDS or _known_kind(line)):
            found.singles[name] = line
            found.places[name] = index
        elif name not in _DROPPED:
            found.props.append(index)
    if partners or any(line.group for line in lines):
        _tie(found, lines)
    return found


def _place(found: _Survey, index: int, line: Line, partners: Mapping[str, str], once: set[str]) -> None:
    kind, decode = DECODERS[line.name]
    elements = decode(line, partners, found.blobs) if line.name not in once else None
    if elements:
        found.sources.append(_Source(kind, index, list(elements)))
        if line.name in _ONCE:
            once.add(line.name)
    elif elements is None:
        found.props.append(index)


def _partners(lines: Sequence[Line]) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    for line in lines:
        if line.group and line.name in PARTNERS:
            found.setdefault(line.group.lower(), {}).setdefault(line.name, unescape(line.value).strip())
    return found


def _tie(found: _Survey, lines: Sequence[Line]) -> None:
    """Give the lines of a group that only explain another line to that line, and note what groups remain."""
    takers: dict[tuple[str, str], list[_Source]] = {}
    for source in found.sources:
        group = lines[source.index].group.lower()
        for name in _explained_by(source, lines[source.index]) if group else ():
            takers.setdefault((group, name), []).append(source)
    for index in [index for index in found.props if lines[index].name in PARTNERS]:
        line = lines[index]
        sources = takers.get((line.group.lower(), line.name), [])
        if any(_says(source, line) for source in sources):
            found.props.remove(index)
            for source in sources:
                source.partners += (index,)
    members = Counter(lines[index].group.lower() for index in [*found.props, *(s.index for s in found.sources)])
    for source in found.sources:
        group = lines[source.index].group
        if group and members[group.lower()] > 1:
            source.elements = [_with_group(element, group) for element in source.elements if element]


def _explained_by(source: _Source, line: Line) -> Iterator[str]:
    if source.field in LABELLED and line.name not in ("BDAY", "ANNIVERSARY", "DEATHDATE"):
        yield "X-ABLABEL"
    if source.field == "addresses":
        yield "X-ABADR"


def _says(source: _Source, partner: Line) -> bool:
    """Has the element taken in what this partner says?"""
    return partner.name == "X-ABLABEL" or any("countryCode" in (element or ()) for element in source.elements)


def _with_group(element: dict[str, Any], group: str) -> dict[str, Any]:
    return {**element, PARAMS: {**element.get(PARAMS, {}), "group": group}}


def _fields(sources: Iterable[_Source]) -> dict[str, Any]:
    card: dict[str, Any] = {}
    for source in sources:
        elements = card.setdefault(source.field, {})
        for element in source.elements:
            if element:
                elements[str(len(elements) + 1)] = element
    return {key: elements for key, elements in card.items() if elements}


def _prop(line: Line) -> list[Any]:
    """A line as in `vCardProps`."""
    params: dict[str, Any] = {"group": line.group} if line.group else {}
    for name, values in line.params:
        if name != "VALUE":
            params[name.lower()] = values[0] if len(values) == 1 else list(values)
    return [line.name.lower(), params, next(iter(line.param("VALUE")), "unknown"), line.value]


# --- the name and the kind ----------------------------------------------------------------------------------

_N_PARTS: Final = ("surname", "given", "given2", "title", "credential", "surname2", "generation")


def _name(singles: Mapping[str, Line], fields: Card) -> dict[str, Any]:
    name: dict[str, Any] = {}
    parts = _n_parts(singles["N"].value) if "N" in singles else {}
    spoken = {kind: unescape(singles[x].value).strip() for x, kind in _PHONETIC.items() if x in singles}
    if found := _with_phonetics(parts, spoken):
        name["components"] = found
    if "N" in singles and (params := _params_kept(singles["N"].params)):
        name[PARAMS] = params
    full = unescape(singles["FN"].value).strip() if "FN" in singles else ""
    if full and _loose(full) != _loose(_shown({**fields, "name": name})):
        name["full"] = full
    return name


def _n_parts(value: str) -> dict[str, str]:
    """The components of N, those of RFC 9554 (second surname, generation) included, which repeat in their
    elders' lists."""
    pieces = [_listing(text) for text in split(value, ";")]
    for elder, younger in ((0, 5), (4, 6)):
        for again in pieces[younger] if len(pieces) > younger else ():
            if again in pieces[elder]:
                pieces[elder].reverse()
                pieces[elder].remove(again)
                pieces[elder].reverse()
    return dict(zip(_N_PARTS, (" ".join(texts) for texts in pieces), strict=False))


def _listing(value: str) -> list[str]:
    pieces = split(value, ",") if "," in value else [value]
    if any(piece[:1] == " " for piece in pieces[1:]):  # "Smith, John" is a text of somebody who escapes nothing
        return [unescape(value).strip()]
    return [text for piece in pieces if (text := unescape(piece).strip())]


def _with_phonetics(parts: Mapping[str, str], spoken: Mapping[str, str]) -> list[dict[str, str]]:
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


def _shown(card: Card) -> str:
    """What a program shows of a card without FN: the components, else the best there is."""
    name = card.get("name", {})
    composed = " ".join(c["value"] for c in name.get("components", ()) if c["value"])
    return composed or full_name({key: value for key, value in card.items() if key != "name"})


def _loose(text: str) -> str:
    return " ".join(text.split())


def _fn(card: Card) -> str:
    return str(card.get("name", {}).get("full") or _shown(card))


def _known_kind(line: Line) -> bool:
    value = unescape(line.value).strip().lower()
    return value == "company" if line.name == "X-ABSHOWAS" else bool(value)


def _kind(singles: Mapping[str, Line]) -> str:
    for name in _KINDS:
        if name in singles:
            kind = unescape(singles[name].value).strip().lower()
            return "org" if name == "X-ABSHOWAS" else "" if kind == "individual" else kind
    return ""


def _kind_draft(kind: str, version: str) -> Draft:
    if kind == "org" and not version.startswith("4"):
        return Draft("X-ABSHOWAS", (), "COMPANY")
    if kind == "group" and not version.startswith("4"):
        return Draft("X-ADDRESSBOOKSERVER-KIND", (), "group")
    return Draft("KIND", (), escape(kind))


def _n_draft(name: Mapping[str, Any], like: Line | None = None) -> Draft:
    values = [part(name, kind) for kind in _N_PARTS]
    texts = [escape(value) for value in values]
    for elder, younger, pair in ((0, 5, (0, 5)), (4, 6, (6, 4))):
        if values[younger]:
            texts[elder] = ",".join(texts[n] for n in pair if texts[n])
    if not values[5] and not values[6]:
        texts = texts[:5]
    if like:
        old, was = split(like.value, ";"), _n_parts(like.value)
        same = [was.get(kind, "") == value for kind, value in zip(_N_PARTS, values, strict=True)]
        twin = {0: 5, 4: 6, 5: 0, 6: 4}
        texts = [old[n] if n < len(old) and same[n] and same[twin.get(n, n)] else text for n, text in enumerate(texts)]
    params = tuple((key.upper(), tuple(listed(value))) for key, value in name.get(PARAMS, {}).items())
    return Draft("N", params, ";".join(texts))


def _phonetic_drafts(name: Mapping[str, Any]) -> Iterator[Draft]:
    for x, kind in _PHONETIC.items():
        for component in name.get("components", ()):
            if component["kind"] == kind and component.get("phonetic"):
                yield Draft(x, (), escape(component["phonetic"]))


# --- what a vCard can hold ----------------------------------------------------------------------------------


def fit_vcard(card: Card) -> Card:
    """What a vCard (of any version) can hold of the card; element ids stay. Stable."""
    fitted: dict[str, Any] = {}
    for key in VALUE:
        elements = {at: held for at, element in card.get(key, {}).items() if (held := fit_element(key, element))}
        if key == "anniversaries":
            elements = _once(elements)
        if elements:
            fitted[key] = elements
    if name := _fit_name(card.get("name", {}), fitted):
        fitted["name"] = name
    kind = fit_text(card.get("kind")).lower()
    if kind and kind != "individual":
        fitted["kind"] = kind
    if props := [fit for prop in card.get(PROPS, ()) if (fit := _fit_prop(prop))]:
        fitted[PROPS] = props
    return fitted


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
    parts = {kind: fit_text(part(name, kind)) for kind in _N_PARTS}
    spoken = {
        c["kind"]: fit_text(c.get("phonetic")) for c in name.get("components", ()) if c["kind"] in _PHONETIC.values()
    }
    fitted: dict[str, Any] = {}
    if found := _with_phonetics(parts, spoken):
        fitted["components"] = found
    if params := fit_params(name.get(PARAMS), frozenset({"TYPE"})):
        params.pop("group", None)
        fitted |= {PARAMS: params} if params else {}
    full = fit_text(name.get("full"))
    if full and _loose(full) != _loose(_shown({**fields, "name": fitted})):
        fitted["full"] = full
    return fitted


def _fit_prop(prop: Any) -> list[Any] | None:
    """An entry of `vCardProps` as it comes back; None for one that is none."""
    if not (
        isinstance(prop, Sequence) and len(prop) >= 4 and isinstance(prop[0], str) and isinstance(prop[1], Mapping)
    ):
        return None
    line = _prop_line(prop)
    return _prop(line) if re.match(r"[\w/-]+\Z", line.name) and line.name not in _DROPPED else None


def _prop_line(prop: Sequence[Any]) -> Line:
    params = {name.upper(): tuple(map(clean, listed(value))) for name, value in prop[1].items() if name != "group"}
    if prop[2] != "unknown":
        params = {"VALUE": (str(prop[2]).lower(),), **params}
    value = ",".join(text if isinstance(text, str) else orjson.dumps(text).decode() for text in prop[3:])
    return Line(prop[0].upper(), tuple(params.items()), clean(value).replace("\n", "\\n"), prop[1].get("group", ""))


# --- writing ------------------------------------------------------------------------------------------------


class _Writer:
    """Makes lines of one version; knows which groups are taken."""

    def __init__(
        self, version: str, newline: str = "\r\n", taken: Iterable[str] = (), blob: Blob | None = None
    ) -> None:
        self.version, self.newline, self.blob = version, newline, blob
        self._taken = {group.lower() for group in taken}
        self._next = 1
        self._explained: set[tuple[str, str]] = set()

    def line(self, name: str, value: str, params: Params = (), group: str = "") -> str:
        return render(Line(name, params, value, group), self.version, self.newline)

    def draft(self, draft: Draft, group: str = "") -> str:
        """A line and its partners, in a group if it has some."""
        group = group or (self.free_group() if draft.partners else "")
        lines = [self.line(draft.name, draft.value, draft.params, group)]
        for name, value in draft.partners:
            if (group, name) not in self._explained:
                lines.append(self.line(name, value, (), group))
                self._explained.add((group, name))
        return "".join(lines)

    def free_group(self) -> str:
        while f"item{self._next}" in self._taken:
            self._next += 1
        self._taken.add(f"item{self._next}")
        return f"item{self._next}"

    def elements(self, name: str, elements: Iterable[Element]) -> Iterator[str]:
        """The lines of these elements of a field."""
        for group in _bundles(name, list(elements)):
            draft = encode(name, group, self.version, None, self.blob)
            if draft:
                yield self.draft(draft, group[0].get(PARAMS, {}).get("group", ""))

    def prop(self, prop: Sequence[Any]) -> str:
        line = _prop_line(prop)
        return self.line(line.name, line.value, line.params, line.group)


def _bundles(name: str, elements: list[Element]) -> Iterator[list[Element]]:
    """Elements that go into one line."""
    if name not in LISTS:
        yield from ([element] for element in elements)
        return
    for _, bundle in groupby(sorted(elements, key=_beside), key=_beside):
        yield list(bundle)


def _beside(element: Element) -> bytes:
    """What an element says beside its name, as a key."""
    return _key({key: value for key, value in element.items() if key != "name"})


def _key(value: Any) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


def _groups_of(card: Card) -> Iterator[str]:
    for prop in card.get(PROPS, ()):
        yield prop[1].get("group", "")
    for name in VALUE:
        for element in card.get(name, {}).values():
            yield element.get(PARAMS, {}).get("group", "")


def write(
    card: Card, version: str = "3.0", *, uid: str | None, rev: datetime | None = None, blob: Blob | None = None
) -> str:
    """A new vCard of `fit_vcard(card)`, lines ended by CRLF.

    version: "3.0" or "4.0". rev: when it last changed, aware. Photos whose bytes `blob` does not give are left out.
    """
    if version not in ("3.0", "4.0"):
        raise ValueError(f"vCards are written in version 3.0 or 4.0, not {version!r}")
    card = fit_vcard(card)
    writer = _Writer(version, taken=_groups_of(card), blob=blob)
    name = card.get("name", {})
    text = [writer.line("BEGIN", "VCARD"), writer.line("VERSION", version)]
    if uid:
        text.append(writer.line("UID", escape(uid)))
    if "kind" in card:
        text.append(writer.draft(_kind_draft(card["kind"], version)))
    drafts = [Draft("FN", (), escape(_fn(card))), _n_draft(name), *_phonetic_drafts(name)]
    text += [writer.draft(draft) for draft in drafts]
    for key in VALUE:
        text += writer.elements(key, card.get(key, {}).values())
    text += [writer.prop(prop) for prop in card.get(PROPS, ())]
    if rev:
        form = "%Y%m%dT%H%M%SZ" if version == "4.0" else "%Y-%m-%dT%H:%M:%SZ"
        text.append(writer.line("REV", rev.astimezone(UTC).strftime(form)))
    text.append(writer.line("END", "VCARD"))
    return "".join(text)


# --- patching -----------------------------------------------------------------------------------------------


def patch(original: str, before: Card, after: Card, *, blob: Blob | None = None) -> str:
    """The original with what differs between the two cards, and nothing else, changed.

    before: what `read(original)` gives, whatever its element ids. Elements are recognised by what they hold.
    Raises Refused where the original is no readable vCard.
    """
    return _Patch(_only(original), blob).run(fit_vcard(before), fit_vcard(after))


def _only(original: str) -> VCard:
    found = next(parse(original), None)
    if isinstance(found, VCard):
        return found
    raise Refused(found.reason if found else "there is no vCard in it")


class _Patch:
    def __init__(self, vcard: VCard, blob: Blob | None) -> None:
        self.lines = vcard.lines
        self.survey = _survey(vcard.lines)
        self.raws = [line.raw for line in vcard.lines]
        self.tail: list[str] = []
        newline = vcard.lines[0].raw[len(vcard.lines[0].raw.rstrip("\r\n")) :] or "\r\n"
        self.writer = _Writer(vcard.version, newline, (line.group for line in vcard.lines), blob)

    def run(self, before: Card, after: Card) -> str:
        was = self._view()
        for name in VALUE:
            self._field(name, before.get(name, {}), after.get(name, {}))
        self._props(before.get(PROPS, ()), after.get(PROPS, ()))
        now = self._view()
        self._name(was, now, before.get("name", {}), after.get("name", {}))
        if before.get("kind") != after.get("kind"):
            self._kind(after.get("kind", ""))
        # A last line may lack its end.
        end = len(self.raws) - 1
        return "".join([*self.raws[:end], *self.tail, self.raws[end]])

    def _view(self) -> dict[str, Any]:
        view = _fields(self.survey.sources)
        return {**view, "name": _name(self.survey.singles, view)}

    # Elements

    def _field(self, name: str, before: Mapping[str, Element], after: Mapping[str, Element]) -> None:
        sources = [source for source in self.survey.sources if source.field == name]
        places = _paired(name, before, sources)
        touched: list[_Source] = []
        for key, (source, at) in places.items():
            if before[key] != after.get(key):
                source.elements[at] = _overlaid(source.elements[at] or {}, before[key], after.get(key))
                touched.append(source)
        added = [
            element
            for key, element in after.items()
            if key not in before or (key not in places and before[key] != element)
        ]
        for element in added:
            home = next((s for s in reversed(sources) if name in LISTS and _same_line(s, element)), None)
            if home:
                home.elements.append(dict(element))
                touched.append(home)
        for source in {id(source): source for source in touched}.values():
            self._rewrite(source)
        kept = (
            [e for e in added if not any(e == held for s in touched for held in s.elements)] if name in LISTS else added
        )
        self.tail += self.writer.elements(name, map(self._ungrouped, kept))
        self.survey.sources += [_Source(name, -1, [dict(element)]) for element in kept]

    def _ungrouped(self, element: Element) -> Element:
        """A new element must not fall into a group that is about something else here."""
        rest = {key: value for key, value in element.get(PARAMS, {}).items() if key != "group"}
        return {**{key: value for key, value in element.items() if key != PARAMS}, **({PARAMS: rest} if rest else {})}

    def _rewrite(self, source: _Source) -> None:
        like = self.lines[source.index]
        held = [element for element in source.elements if element]
        shared = {index for other in self.survey.sources if other is not source for index in other.partners}
        own = [index for index in source.partners if index not in shared]
        if not held:
            for index in (source.index, *own):
                self.raws[index] = ""
            return
        draft = encode(source.field, held, self.writer.version, like, self.writer.blob)
        if draft is None:
            return
        group = like.group
        wanted = dict(draft.partners)
        stand = {self.lines[index].name: index for index in source.partners}
        alters = {
            name for name in {*wanted, *stand} if name not in wanted or not self._stands(stand.get(name), wanted[name])
        }
        if alters and (not group or any(stand.get(name) in shared for name in alters)):
            group = self.writer.free_group() if wanted else ""
            alters = {*wanted, *stand}
        text = self.writer.line(draft.name, draft.value, draft.params, group)
        for name in sorted(alters):
            if stand.get(name) in own:
                self.raws[stand[name]] = ""
            if name in wanted:
                text += self.writer.line(name, wanted[name], (), group)
        self.raws[source.index] = text

    def _stands(self, index: int | None, value: str) -> bool:
        return index is not None and self.lines[index].value == value

    # The rest

    def _props(self, before: Sequence[Any], after: Sequence[Any]) -> None:
        owed, gone = Counter(map(_key, after)), Counter(map(_key, before))
        owed, gone = owed - gone, gone - owed
        for index in self.survey.props:
            key = _key(_fit_prop(_prop(self.lines[index])))
            if gone[key] > 0:
                gone[key] -= 1
                self.raws[index] = ""
        for prop in after:
            if owed[_key(prop)] > 0:
                owed[_key(prop)] -= 1
                self.tail.append(self.writer.prop(prop))

    def _name(self, was: Card, now: dict[str, Any], before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
        held = was["name"]
        changed, wanted = leaves({"name": before}), leaves({"name": after})
        target = leaves({"name": held})
        for path in {*changed, *wanted}:
            if changed.get(path) != wanted.get(path):
                target.pop(path, None)
                target |= {path: wanted[path]} if path in wanted else {}
        name = card_of(target).get("name", {})
        shown = _fn({**now, "name": name})
        if shown != _fn({**was, "name": held}):
            self._single(Draft("FN", self._params("FN"), escape(shown)), "FN")
        if name == held:
            return
        old, new = _n_draft(held, self.survey.singles.get("N")), _n_draft(name, self.survey.singles.get("N"))
        if old != new:
            self._single(new, "N")
        spoken, said = ({draft.name: draft for draft in _phonetic_drafts(of)} for of in (name, held))
        for x in _PHONETIC:
            if spoken.get(x) != said.get(x):
                self._single(spoken.get(x), x)

    def _params(self, name: str) -> Params:
        return self.survey.singles[name].params if name in self.survey.singles else ()

    def _single(self, draft: Draft | None, name: str) -> None:
        text = self.writer.draft(draft) if draft else ""
        if name in self.survey.places:
            self.raws[self.survey.places[name]] = text
        else:
            self.tail.append(text)

    def _kind(self, kind: str) -> None:
        for name in _KINDS:
            if name in self.survey.places:
                self.raws[self.survey.places[name]] = ""
        if kind:
            self.tail.append(self.writer.draft(_kind_draft(kind, self.writer.version)))


def _paired(name: str, before: Mapping[str, Element], sources: Sequence[_Source]) -> dict[str, tuple[_Source, int]]:
    """Where each element of `before` stands: by all that it holds, else by its value."""
    places: dict[str, tuple[_Source, int]] = {}
    free = [
        (source, at, fit_element(name, element or {}))
        for source in sources
        for at, element in enumerate(source.elements)
    ]
    for sign in (_whole, lambda element: _value(name, element)):
        standing: dict[bytes, list[tuple[_Source, int, dict[str, Any] | None]]] = {}
        for place in reversed(free):
            standing.setdefault(sign(place[2] or {}), []).append(place)
        for key, element in before.items():
            if key not in places and (found := standing.get(sign(element))):
                source, at, _ = found.pop()
                places[key] = source, at
        taken = {(id(source), at) for source, at in places.values()}
        free = [place for place in free if (id(place[0]), place[1]) not in taken]
    return places


def _whole(element: Element) -> bytes:
    return _key({key: value for key, value in element.items() if key not in (SLOT, PARAMS)})


def _value(name: str, element: Element) -> bytes:
    if name == "addresses":
        return _key([element.get(key) for key in (VALUE[name], "components", "full")])
    return _key([element.get("kind"), element.get(VALUE[name]) or element.get("uri") or element.get("units")])


def _overlaid(element: Element, before: Element, after: Element | None) -> dict[str, Any] | None:
    """The element with what changed between the two."""
    if after is None:
        return None
    changed = {key: after.get(key) for key in {*before, *after} if before.get(key) != after.get(key)}
    return {key: value for key, value in {**element, **changed}.items() if value is not None}


def _same_line(source: _Source, element: Element) -> bool:
    return any(_beside(held or {}) == _beside(element) for held in source.elements)


# --- contact groups that are cards --------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Group:
    """A contact group: its name, and the UIDs of its members (`urn:uuid:` left out)."""

    name: str
    members: tuple[str, ...]


def group_of(vcard: VCard) -> Group | None:
    """The contact group that this card is, in Apple's dialect or vCard 4's; None for a contact."""
    survey = _survey(vcard.lines)
    if _kind(survey.singles) != "group":
        return None
    members = [_member(line) for line in vcard.lines if line.name in _MEMBERS]
    return Group(_fn({"name": _name(survey.singles, {})}), tuple(member for member in members if member))


def _member(line: Line) -> str:
    uri = unescape(line.value).strip()
    return uri[len(_URN) :] if uri[: len(_URN)].lower() == _URN else uri


def with_members(original: str, members: Iterable[str]) -> str:
    """The group card with these members; the lines of those that stay, and all others, stay byte for byte.

    Raises Refused where the original is no readable vCard.
    """
    vcard = _only(original)
    wanted = list(dict.fromkeys(members))
    present = {_member(line) for line in vcard.lines if line.name in _MEMBERS}
    first, last = vcard.lines[0].raw, vcard.lines[-1].raw
    newline = first[len(first.rstrip("\r\n")) :] or "\r\n"
    names = {line.name for line in vcard.lines}
    name = next((name for name in _MEMBERS if name in names), "")
    name = name or _MEMBERS["KIND" in names and "X-ADDRESSBOOKSERVER-KIND" not in names]
    kept = [line.raw for line in vcard.lines[:-1] if line.name not in _MEMBERS or _member(line) in wanted]
    added = [render(_member_line(name, uid), vcard.version, newline) for uid in wanted if uid not in present]
    return "".join([*kept, *added, last])


def _member_line(name: str, uid: str) -> Line:
    return Line(name, (), escape(uid if re.match(r"(mailto|tel|https?|urn):", uid) else _URN + uid))


def write_group(name: str, uid: str, members: Iterable[str], version: str = "3.0", *, apple: bool = True) -> str:
    """A new group card. apple: in Apple's dialect, which is what phones read of a vCard 3.0; else KIND and MEMBER."""
    kind, member = ("X-ADDRESSBOOKSERVER-KIND", _MEMBERS[0]) if apple else ("KIND", _MEMBERS[1])
    # Apple shows the N of a group, not its FN (vCard note, "Apple dialect").
    lines = [
        Line("BEGIN", (), "VCARD"),
        Line("VERSION", (), version),
        Line("UID", (), escape(uid)),
        Line("FN", (), escape(name)),
        Line("N", (), escape(name) + ";;;;"),
        Line(kind, (), "group"),
        *(_member_line(member, uid) for uid in dict.fromkeys(members)),
        Line("END", (), "VCARD"),
    ]
    return "".join(render(line, version) for line in lines)
