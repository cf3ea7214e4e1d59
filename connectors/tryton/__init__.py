"""Tryton: the parties of a self-hosted ERP, by its JSON-RPC; its customer invoices as purchases.

Quirks and limits, with the note, the file of trytond 8.2, or "observed" for what a live 8.2 did
(`tests/conformance/test_tryton_sandbox.py` asks it again, every time):

- Errors come with HTTP 200; a dead session with 401, and is renewed once (accounting note C). A user whose login asks
  for a second factor cannot be used.
- A party has one name. Titles, given names and surnames are written as one text and stay split with us; a name that is
  changed in Tryton arrives as the full name.
- No birthday, organisation, title, note, photo; no contexts of numbers and addresses (field map). They stay with us.
- Contact mechanisms: telephone, mobile, fax, e-mail, web site; Skype, SIP, IRC, Jabber and all others are online
  services, of which the mechanism's name is the service. The name of the others is the label; comments are left alone.
- Where it has the library phonenumbers, Tryton refuses what is no valid international number, unless an address of the
  party says the country (observed). Such a number is kept as `other` with the name "Phone", "Mobile" or "Fax" ("Phone:
  Shop" with a label), and any mechanism of such a name shows as a number. E-mail addresses that Tryton refuses set the
  contact aside, in its words.
- Numbers and e-mail addresses are formatted when they are stored (contact_mechanism.py): its view, not an edit.
- Single-line fields take no line breaks (fields/char.py): they become blanks.
- A street may be in parts (street name, building number, …): it shows as Tryton formats it, and becomes one text when
  it is changed here. The field `street` refuses to be written (observed). Next to a post box, which Tryton prints with
  the street's parts only, the street is one line.
- Countries and regions are records that the administrator imports; what is not among them is not kept. A region is one
  of its country's.
- Categories are groups, nested ones under their whole name ("Club / Choir"). One that is missing is made. None is ever
  renamed or deleted.
- Languages, identifiers, accounting data are left alone. Our key is an identifier without a type ("concord:…").
- A new mechanism comes after those that were put in order: the first of its type is where documents go.
- A party's `write_date` does not move with its rows' (note C), deletions leave rows in the log only: `changes.py` says
  what is done, and what is missed until the next full reading (`full_every`).
- Writes are conditional on the timestamps of the party and of every row of it that is touched; many parties go in one
  call (`writing.py`). Warnings that Tryton wants a person to confirm set the contact aside.
- What has invoices cannot be deleted (note C) and is archived; archived parties are deleted ones here. Nothing of what
  is archived can be written (observed).
- Parties that were merged (`replaced_by`) are aliases of the one that is left.
- Who asks to be forgotten is erased by Tryton's own wizard; where it refuses (something is pending) or is not allowed,
  the party is blanked and archived. Invoices keep what the law wants.
- There is no consent in Tryton, and none is derived from invoices.
- Purchases: invoices to customers; credit notes have negative totals. What has a number cannot be deleted (`sales.py`).
"""

from connectors.contract import System
from connectors.tryton.connector import TrytonSettings, connect

CONNECTOR = System(
    name="tryton",
    title="Tryton",
    settings=TrytonSettings,
    open=connect,
    direction="pull",  # books are masters of legal data: what may be written there, the admin says field by field
    deletes="ignore",  # who is archived in the books is no contact that somebody deleted
    sandbox="connectors.tryton.sandbox:create",
)
