"""QuickBooks Online, by its accounting API v3: customers and vendors as contacts, and what was sold to whom.

What it holds: the parts of a name, one company, e-mail addresses in one property, four phone numbers (two plain ones, a
mobile, a fax), the address for bills and, of customers, that for deliveries, one link, one note (customers only).
No birthday, job title, group, photo or consent: what has no place stays with us, and nobody's consent is ever read out
of accounting.

Quirks, and what is done about them ("note" is the accounting note, part B; "Intuit" its reference of Customer):

- DisplayName is unique over customers, vendors and employees (note, 6240). Where a name is taken, a mark made of our
  key follows it ("Ann Weiss ~3f2a"). The mark is QuickBooks' own: it is never shown as part of a name, and never
  pushed.
- DisplayName is a label of the bookkeeper's ("Weiss, Ann", the company). It is shown where it tells more than the
  parts of a name and the company do: where there are no parts, or where it shares no word with them and there is no
  company. It follows the name or the company it was made of, and stays what it is where somebody chose it. No colon,
  tab or line break in names (Intuit).
- Sub-customers and jobs are read, and their contact data kept up to date, but they are never renamed: their names are
  those of projects and properties.
- PrimaryEmailAddr may hold several addresses, separated by commas: each is shown. QuickBooks mails its invoices to
  all of them, so none is added to those that stand there, and a new record gets the preferred one only.
- The address for deliveries decides about taxes: only an address that says it is for deliveries is put there. Where
  it is the same as that for bills, it is one address, and goes with it. There is no post office box; lines beyond the
  fifth are joined to it.
- Text too long is refused there (Intuit: lengths), as are characters beyond the basic plane (a help page of
  noviams.com): `fit` cuts and leaves out beforehand, but makes no half of a number, an address, a link or a title.
- Unsent properties are cleared unless an update is sparse (note): all of ours are. Addresses are sent whole, with
  what we do not know of them.
- There is no delete: a record is made inactive, and its name becomes free (note). An inactive record is a deleted
  one; made active again, it is back. One with an open balance is refused: in QuickBooks' own pages that would write a
  credit memo (Intuit, "Active"). Who is to be forgotten is blanked as well, all but the DisplayName, under which
  documents are filed that the law wants kept; the documents keep their own copies.
- A merged record vanishes, or becomes inactive, and only a webhook tells who took it in (note): what a signed one told
  is remembered, looked up and followed (`merges.py`). Without webhooks, or where a run comes before theirs, the record
  counts as deleted: at once where it became inactive, else with the next listing of everything (`full_every`).
- SyncToken is the version; a stale one is refused (note, 5010). An archived record is stale, too, and is asked which.
- There is no place for our key. A create whose answer was lost is looked for by its name and content. Each POST has a
  `requestid` made of key and content, under which QuickBooks replays the first answer (note). As that is doubted
  (issue QuickBooks-V3-DotNET-SDK 352), it is a second net only.
- CDC: 30 days, 1,000 objects, no pages (note): see `changes.py`.
- Failures come as HTTP 400, as 200, per item of a batch, and in another shape with 401 (note); all give `intuit_tid`.
- 500 requests and 40 batches a minute (note): a minute's pause.
- The refresh token changes about every day and dies after 100 days, or five years (note): each new one is stored.
- Purchases: an invoice is paid when nothing is left of its balance, void when voiding left nothing of it.
"""

from connectors.contract import System, Webhook
from connectors.quickbooks.client import OAUTH, QuickBooksSettings
from connectors.quickbooks.connector import QuickBooks
from connectors.quickbooks.merges import told
from connectors.webhooks import body_signed_in

CONNECTOR = System(
    name="quickbooks",
    title="QuickBooks Online",
    settings=QuickBooksSettings,
    open=QuickBooks,
    direction="pull",  # books are masters of legal data: what may be written there, the admin says field by field
    deletes="ignore",  # who is archived in the books is no contact that somebody deleted
    sandbox="connectors.quickbooks.sandbox:create",
    oauth=OAUTH,
    webhook=Webhook(body_signed_in("intuit-signature"), signed=True, tells=told),
)
