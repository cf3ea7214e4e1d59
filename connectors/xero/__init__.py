"""Xero: the contacts of one organisation by the Accounting API 2.0, customers and suppliers alike, and what was sold to
them. Read only where it matters: accounting owns legal and tax data, so the usual policy for it is `direction: pull`.
What makes sense to push, and to be created from, are `emails`, `phones`, `addresses` and `groups`; `name` and
`organizations` change what stands on the next invoice. TaxNumber, bank details, terms, accounts are never touched.

How a contact is shown:

- FirstName and LastName are the person's name. Name is the organisation where it differs from that name, in whatever
  order it is written. Without both names the contact is an organisation (`kind: org`), or with `nameless: person` a
  person whose full name it is. A Name that is only an e-mail address or a number is nobody's name.
- A card without given name and surname is sent with the best name there is as LastName, an organisation's card (or one
  that has nothing else) with its name as Name, and otherwise an e-mail address or number as Name.
- EmailAddress is the e-mail address. Those of ContactPersons, up to five other people, are shown with their names as
  labels, and can be corrected or blanked; nobody is made a contact person. The list is replaced as a whole, and an
  empty one would not clear it, so a person who loses the address stays.
- Phones: DEFAULT, DDI (work), MOBILE, FAX. Country and area code are joined for reading, without the 0 that is dialled
  within the country only. What we change goes whole into PhoneNumber: nobody can tell for sure where codes end.
- Addresses: POBOX, the postal one, then STREET; four lines, a post-office box among them. AttentionTo stays.
- Website is read only; IsCustomer and IsSupplier are the keywords "customer" and "supplier", read only: Xero knows it
  from the invoices. ContactGroups are groups, by name; one that is not there is made.
- No notes, titles, birthdays, photos. No consent: it must never be derived from accounting.

Quirks, and what is done about them (accounting note A; K there: general knowledge):

- Name must be unique among active contacts, letter case aside. Where another has it, ours is sent again with a mark of
  six letters and digits in brackets, made of our key or the ContactID. It is recognised by the record itself and taken
  off before anything is shown, so it is no edit, enters no card and is owed to nobody.
- POST takes a contact of the same Name for the one that is meant; creates go by PUT. Before a name that is taken gets
  its mark, our key is looked for: an earlier create may have taken effect.
- Creates are sent once, with ContactNumber = "concord-" and our key, by which they are found again, and with an
  Idempotency-Key of keys, content and base, whose memory is short (K).
- 50 contacts a request with summarizeErrors=false: each row has its own errors. A request refused as a whole (HTTP 400,
  or 404 where one id never existed) is sent in halves.
- There is no lock: contacts are read again right before a batch is written, and UpdatedDateUTC is compared. An edit
  made between this look and the write (one request, some hundred milliseconds) is overwritten where it is of the same
  property; others are kept, for what is omitted is kept. `capabilities.conditional` is true in this sense.
- Nothing can be deleted: we archive. Archived contacts are gone for us, cannot be changed, and are only listed with
  includeArchived. MergedToContactID leads to the winner, which comes with the loser as alias, also when the winner
  itself did not change.
- GDPRREQUEST: the person asked Xero to be forgotten. Such a contact is gone, and nobody with its ContactNumber or
  e-mail address is created again (one request for each run that creates). Whoever is erased here is blanked and
  archived there; what is on invoices, tax number and bank details stay, for the law wants them kept.
- Listings are read by time, not by page number (`changes.py`), the last minute again each time. Whether joining a
  group, or renaming one, changes its members' time is not known: every `full_every` hours everything is read again. A
  full listing is complete if as many contacts came as Xero says there are.
- A quiet run costs one request (two where the organisation is told by name), and an access token every half hour.
- Limits: 60 requests a minute and 5,000 a day for an organisation, 5 at once (we send one after another). HTTP 429 says
  in X-Rate-Limit-Problem which it is; a spent day is hours, and parks the connection.
- Refresh tokens rotate with every use and die after 60 days. Apps made after 2 March 2026 must ask for
  accounting.invoices.read where older ones asked for accounting.transactions.read (note A; the finer scope's name as
  public clients ask for it); older apps may, too. Without it there are no purchases, and `check` says so.
- Errors before the API proper have another shape; 404 has no body; an organisation can be offline (503, in words).

Purchases: ACCREC invoices and ACCRECCREDIT notes with their lines. Drafts and what waits for approval are drafts,
AUTHORISED is open, VOIDED void; a deleted draft is gone. Amounts are Decimal as sent; credits are negative in total.
"""

from connectors.contract import System, Webhook
from connectors.webhooks import body_signed_in
from connectors.xero.client import OAUTH, XeroSettings
from connectors.xero.connector import Xero

CONNECTOR = System(
    name="xero",
    title="Xero",
    settings=XeroSettings,
    open=Xero,
    direction="pull",  # books are masters of legal data: what may be written there, the admin says field by field
    deletes="ignore",  # who is archived in the books is no contact that somebody deleted
    sandbox="connectors.xero.sandbox:create",
    oauth=OAUTH,
    webhook=Webhook(body_signed_in("x-xero-signature"), signed=True),
)
