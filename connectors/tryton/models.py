"""Tryton's models as far as the connector meets them: what the sandbox's tables are like (modules party, country and
account_invoice 8.2)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final


@dataclass(frozen=True)
class Model:
    """A model. chars: texts of one line; untrimmed: those of them that keep their blanks; refs: {field: model of the
    record it refers to}; lists: {field: (model, its field that refers back)}; many: {field: model}.
    required: fields that need a value."""

    title: str
    chars: Mapping[str, str] = field(default_factory=dict)
    untrimmed: frozenset[str] = frozenset()
    plain: Sequence[str] = ()
    refs: Mapping[str, str] = field(default_factory=dict)
    lists: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    many: Mapping[str, str] = field(default_factory=dict)
    required: frozenset[str] = frozenset()

    @property
    def columns(self) -> list[str]:
        return [*self.chars, *self.plain, *self.refs, *self.many]


STREET: Final = (
    *("street_name", "building_name", "building_number", "unit_number", "floor_number", "room_number"),
    *("post_box", "private_bag", "post_office"),
)


def _titled(*names: str) -> dict[str, str]:
    return {name: name.replace("_", " ").title() for name in names}


MODELS: Final[Mapping[str, Model]] = {
    "party.party": Model(
        "Party",
        _titled("name", "code"),
        frozenset({"name"}),
        ("active",),
        {"replaced_by": "party.party"},
        {
            "addresses": ("party.address", "party"),
            "contact_mechanisms": ("party.contact_mechanism", "party"),
            "identifiers": ("party.identifier", "party"),
        },
        {"categories": "party.category"},
    ),
    "party.contact_mechanism": Model(
        "Party Contact Mechanism",
        _titled("value", "value_compact", "name"),
        plain=("type", "comment", "sequence", "active"),
        refs={"party": "party.party"},
        required=frozenset({"value", "type"}),
    ),
    "party.address": Model(
        "Party Address",
        _titled("party_name", "attn", *STREET, "postal_code", "city"),
        plain=("street_unstructured", "sequence", "active"),
        refs={"party": "party.party", "country": "country.country", "subdivision": "country.subdivision"},
    ),
    "party.identifier": Model(
        "Party Identifier",
        _titled("code"),
        plain=("type", "sequence", "active"),
        refs={"party": "party.party"},
        required=frozenset({"code"}),
    ),
    "party.category": Model(
        "Party Category",
        _titled("name"),
        plain=("active",),
        refs={"parent": "party.category"},
        required=frozenset({"name"}),
    ),
    "party.address.subdivision_type": Model("Address Subdivision Type", plain=("country_code", "types", "active")),
    "country.country": Model("Country", _titled("name", "code", "code3"), plain=("active",)),
    "country.subdivision": Model(
        "Subdivision", _titled("name", "code"), plain=("type", "active"), refs={"country": "country.country"}
    ),
    "currency.currency": Model("Currency", _titled("name", "code"), plain=("active",)),
    "product.product": Model("Product Variant", _titled("name"), plain=("active",)),
    "account.invoice": Model(
        "Account Invoice",
        _titled("number"),
        plain=("type", "state", "invoice_date", "total_amount"),
        refs={"party": "party.party", "invoice_address": "party.address", "currency": "currency.currency"},
        lists={"lines": ("account.invoice.line", "invoice")},
    ),
    "account.invoice.line": Model(
        "Account Invoice Line",
        plain=("type", "description", "quantity", "unit_price", "amount"),
        refs={"invoice": "account.invoice", "product": "product.product"},
    ),
    "ir.model.log": Model("Log", plain=("event", "target", "user", "resource")),
}
