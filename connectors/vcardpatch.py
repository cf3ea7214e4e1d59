"""A vCard with only the lines changed that have to (`patch`)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from connectors.card import SLOT, VALUE, Card, Element, card_of, leaves
from connectors.contentline import Params, VCard, escape, parse
from connectors.errors import Refused
from connectors.vcardfields import LISTS, encode, fit_element
from connectors.vcardparams import PARAMS, Draft
from connectors.vcardread import (
    KINDS,
    PHONETIC,
    PROPS,
    Source,
    fields_of,
    fn_of,
    name_of,
    prop_of,
    survey,
)
from connectors.vcardwrite import (
    Blob,
    Writer,
    beside,
    fit_prop,
    fit_vcard,
    key_of,
    kind_draft,
    n_draft,
    phonetic_drafts,
)


def patch(original: str, before: Card, after: Card, *, blob: Blob | None = None) -> str:
    """The original with what differs between the two cards, and nothing else, changed.

    before: what `read(original)` gives, whatever its element ids: elements are recognised by what they hold.
    Version, line ends and dialect stay as they are. A photo whose bytes `blob` does not give is not changed.
    Raises Refused where the original is no readable vCard.
    """
    return _Patch(only(original), blob).run(fit_vcard(before), fit_vcard(after))


def only(original: str) -> VCard:
    """The vCard of a text that is one. Raises Refused."""
    found = next(parse(original), None)
    if isinstance(found, VCard):
        return found
    raise Refused(found.reason if found else "there is no vCard in it")


class _Patch:
    def __init__(self, vcard: VCard, blob: Blob | None) -> None:
        self.lines = vcard.lines
        self.survey = survey(vcard.lines)
        self.raws = [line.raw for line in vcard.lines]
        self.tail: list[str] = []
        newline = vcard.lines[0].raw[len(vcard.lines[0].raw.rstrip("\r\n")) :] or "\r\n"
        self.writer = Writer(vcard.version, newline, (line.group for line in vcard.lines), blob)

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
        view = fields_of(self.survey.sources)
        return {**view, "name": name_of(self.survey.singles, view)}

    # Elements

    def _field(self, name: str, before: Mapping[str, Element], after: Mapping[str, Element]) -> None:
        if before == after:
            return
        sources = [source for source in self.survey.sources if source.field == name]
        places = _paired(name, before, sources)
        touched: dict[int, Source] = {}
        fresh = [element for key, element in after.items() if key not in places and before.get(key) != element]
        for key, (source, at) in places.items():
            if before[key] == after.get(key):
                continue
            touched[source.index] = source
            changed = _overlaid(source.elements[at] or {}, before[key], after.get(key))
            source.elements[at] = changed
            if changed and len(source.elements) > 1 and beside(changed) != beside(before[key]):
                source.elements[at] = None  # it parts from those of its line
                fresh.append(changed)
        for element in list(fresh) if name in LISTS else ():
            home = next((source for source in reversed(sources) if _same_line(source, element)), None)
            if home:
                home.elements.append(dict(element))
                touched[home.index] = home
                fresh.remove(element)
        for source in touched.values():
            self._rewrite(source)
        self.tail += self.writer.elements(name, map(_ungrouped, fresh))
        self.survey.sources += [Source(name, -1, [dict(element)]) for element in fresh]

    def _rewrite(self, source: Source) -> None:
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
        owed, gone = Counter(map(key_of, after)), Counter(map(key_of, before))
        owed, gone = owed - gone, gone - owed
        for index in self.survey.props:
            key = key_of(fit_prop(prop_of(self.lines[index])))
            if gone[key] > 0:
                gone[key] -= 1
                self.raws[index] = ""
        for prop in after:
            if owed[key_of(prop)] > 0:
                owed[key_of(prop)] -= 1
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
        shown = fn_of({**now, "name": name})
        if shown != fn_of({**was, "name": held}):
            self._single(Draft("FN", self._params("FN"), escape(shown)), "FN")
        if name == held:
            return
        old, new = n_draft(held, self.survey.singles.get("N")), n_draft(name, self.survey.singles.get("N"))
        if old != new:
            self._single(new, "N")
        spoken, said = ({draft.name: draft for draft in phonetic_drafts(of)} for of in (name, held))
        for x in PHONETIC:
            if spoken.get(x) != said.get(x):
                self._single(spoken.get(x), x)

    def _params(self, name: str) -> Params:
        return self.survey.singles[name].params if name in self.survey.singles else ()

    def _single(self, draft: Draft | None, name: str) -> None:
        at = self.survey.places.get(name)
        text = self.writer.draft(draft, self.lines[at].group if at is not None else "") if draft else ""
        if at is not None:
            self.raws[at] = text
        else:
            self.tail.append(text)

    def _kind(self, kind: str) -> None:
        for index, line in enumerate(self.lines):
            if line.name in KINDS and index not in self.survey.props:
                self.raws[index] = ""
        if kind:
            self.tail.append(self.writer.draft(kind_draft(kind, self.writer.version)))


def _paired(name: str, before: Mapping[str, Element], sources: Sequence[Source]) -> dict[str, tuple[Source, int]]:
    """Where each element of `before` stands: by all that it holds, else by its value."""
    places: dict[str, tuple[Source, int]] = {}
    free = [
        (source, at, fit_element(name, element or {}))
        for source in sources
        for at, element in enumerate(source.elements)
    ]
    for sign in (_whole, lambda element: _value(name, element)):
        standing: dict[bytes, list[tuple[Source, int, dict[str, Any] | None]]] = {}
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
    return key_of({key: value for key, value in element.items() if key not in (SLOT, PARAMS)})


def _value(name: str, element: Element) -> bytes:
    if name == "addresses":
        return key_of([element.get(key) for key in (VALUE[name], "components", "full")])
    return key_of([element.get("kind"), element.get(VALUE[name]) or element.get("uri") or element.get("units")])


def _overlaid(element: Element, before: Element, after: Element | None) -> dict[str, Any] | None:
    """The element with what changed between the two."""
    if after is None:
        return None
    changed = {key: after.get(key) for key in {*before, *after} if before.get(key) != after.get(key)}
    return {key: value for key, value in {**element, **changed}.items() if value is not None}


def _ungrouped(element: Element) -> Element:
    """A new element must not fall into a group that is about something else here."""
    rest = {key: value for key, value in element.get(PARAMS, {}).items() if key != "group"}
    return {**{key: value for key, value in element.items() if key != PARAMS}, **({PARAMS: rest} if rest else {})}


def _same_line(source: Source, element: Element) -> bool:
    return any(beside(held or {}) == beside(element) for held in source.elements)
