"""What a vCard line says in its parameters and its label, and what that is in an element of the card.

What the parameters say beyond our profile is kept in the element as `vCardParams` (RFC 9555): {name: value or
values}, with the pseudo-parameter `group` where other lines share the line's group.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final, NamedTuple

from connectors.card import Element
from connectors.contentline import Line, Params, clean, escape

Partners = Mapping[str, str]
"""The texts of the lines that explain a line of their group: {"X-ABLABEL": …, "X-ABADR": …}."""
PARTNERS: Final = frozenset({"X-ABLABEL", "X-ABADR"})
PARAMS: Final = "vCardParams"


def kept_groups(members: Sequence[tuple[str, bool]], others: Iterable[str]) -> list[bool]:
    """Which lines of elements note their group, because it says something: that other lines belong to them.

    A line with partners has its group for itself and them, and leaves a group with other elements: a label there
    would be theirs as well.

    members: (group, has partners) of each line. others: the groups of the lines that no field holds.
    """
    lines = Counter(group for group, _ in members)
    stays = [not partnered or lines[group] == 1 for group, partnered in members]
    left = Counter(others) + Counter(group for (group, _), stay in zip(members, stays, strict=True) if stay)
    return [stay and left[group] > 1 for (group, _), stay in zip(members, stays, strict=True)]


def partnered(field: str, element: Element) -> bool:
    """Is the element written with lines that explain it, in some version?"""
    return field in ("anniversaries", "relations") or "label" in element or "countryCode" in element


class Draft(NamedTuple):
    """A line to be written: everything but its group; `partners` are the lines that explain it."""

    name: str
    params: Params
    value: str
    partners: tuple[tuple[str, str], ...] = ()


# --- parameters ---------------------------------------------------------------------------------------------

CONTEXTS: Final = {"work": "work", "home": "private", "billing": "billing", "delivery": "delivery"}
FEATURES: Final = {
    "cell": "mobile",
    "fax": "fax",
    "pager": "pager",
    "video": "video",
    "text": "text",
    "textphone": "textphone",
    "main": "main-number",
}
_FEATURE_ALIASES: Final = {**FEATURES, "mobile": "mobile"}
NOISE: Final = frozenset({"voice", "internet"})
"""Types that say what is so anyway."""
BARE: Final = frozenset({"TYPE", "PREF"})
"""Own parameters of properties whose elements have neither contexts nor a preference."""
_OWN: Final = frozenset({"ENCODING", "CHARSET", "VALUE"})
_RANK: Final = re.compile(r"[0-9]{1,3}\Z")
_PARAM_NAME: Final = re.compile(r"[a-z0-9_-]+\Z")


@lru_cache(maxsize=4_096)
def traits_of(params: Params, field: str, own: frozenset[str] = frozenset()) -> Mapping[str, Any]:
    """What the parameters say about an element. own: the parameters that this property reads itself."""
    contexts: dict[str, bool] = {}
    features: dict[str, bool] = {}
    pref: int | None = None
    rest: dict[str, Any] = {}
    for name, values in params:
        if name in _OWN or name in own:
            continue
        if name == "PREF":
            rank = int(values[0]) if _RANK.match(values[0]) else 0
            pref = rank if 1 <= rank <= 100 else pref
        elif name != "TYPE":
            rest[name.lower()] = values[0] if len(values) == 1 else list(values)
        else:
            unknown = []
            for value in values:
                if value in CONTEXTS:
                    contexts[CONTEXTS[value]] = True
                elif value in _FEATURE_ALIASES and field == "phones":
                    features[_FEATURE_ALIASES[value]] = True
                elif value == "pref":
                    pref = pref or 1
                elif value not in NOISE:
                    unknown.append(value)
            if unknown:
                rest["type"] = unknown[0] if len(unknown) == 1 else unknown
    found = {"contexts": contexts, "features": features, "pref": pref, PARAMS: rest}
    return {key: value for key, value in found.items() if value}


def params_of(element: Element, version: str, like: Line | None = None, types: Iterable[str] = ()) -> Params:
    """The parameters that say what `traits_of` reads, and what a line that is rewritten said besides."""
    found = list(types)
    features, contexts = element.get("features", {}), element.get("contexts", {})
    found += [token for token, feature in FEATURES.items() if feature in features]
    found += [token for token, context in CONTEXTS.items() if context in contexts]
    if like:
        found += [token for token in like.param("TYPE") if token in NOISE]
    rest = dict(element.get(PARAMS, {}))
    rest.pop("group", None)
    found += listed(rest.pop("type", ()))
    pref = element.get("pref")
    if pref == 1 and not version.startswith("4"):
        found.append("pref")
        pref = None
    params: list[tuple[str, tuple[str, ...]]] = [("TYPE", tuple(found))] if found else []
    if pref:
        params.append(("PREF", (str(pref),)))
    return (*params, *((name.upper(), tuple(listed(value))) for name, value in rest.items()))


def listed(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else list(value)


def fit_params(params: Any, own: frozenset[str]) -> dict[str, Any]:
    fitted: dict[str, Any] = {}
    for name, value in params.items() if isinstance(params, Mapping) else ():
        values = [clean(text).strip() for text in listed(value)]
        if name == "group":
            fitted[name] = re.sub(r"[^\w-]", "", values[0]) or "item"
        elif name == "type" and "TYPE" not in own:
            values = [token for token in values if token and token not in CONTEXTS and token not in NOISE]
            fitted |= {name: values[0] if len(values) == 1 else values} if values else {}
        elif _PARAM_NAME.match(name) and name.upper() not in own | _OWN | {"TYPE", "PREF"} and values:
            fitted[name] = values[0] if len(values) == 1 else values
    return fitted


# --- labels -------------------------------------------------------------------------------------------------

BUILTIN: Final = re.compile(r"_\$!<(.*)>!\$_\Z", re.DOTALL)
_BUILTIN_TRAITS: Final[Mapping[str, tuple[str, str]]] = {  # (context, feature) of Apple's own labels
    "home": ("private", ""),
    "work": ("work", ""),
    "other": ("", ""),
    "mobile": ("", "mobile"),
    "main": ("", "main-number"),
    "pager": ("", "pager"),
    "homefax": ("private", "fax"),
    "workfax": ("work", "fax"),
    "otherfax": ("", "fax"),
}
_KEPT_BUILTINS: Final = frozenset({"HomePage", "AssistantPhone", "School", "iPhone", "AppleWatch"})


def labelled(element: dict[str, Any], field: str, partners: Partners) -> dict[str, Any]:
    label = partners.get("X-ABLABEL", "")
    if not label:
        return element
    builtin = BUILTIN.match(label)
    traits = _BUILTIN_TRAITS.get(builtin.group(1).lower()) if builtin else None
    if traits is None or (traits[1] and field != "phones"):
        element["label"] = builtin.group(1) if builtin else label
        return element
    for key, value in zip(("contexts", "features"), traits, strict=True):
        if value:
            element[key] = {**element.get(key, {}), value: True}
    return element


def label_partner(element: Element) -> tuple[tuple[str, str], ...]:
    label = element.get("label")
    if not label:
        return ()
    return (("X-ABLABEL", escape(f"_$!<{label}>!$_" if label in _KEPT_BUILTINS else label)),)
