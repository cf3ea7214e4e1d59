"""vTiger CRM: `webservice.php` of the open source editions 5 to 8, and the REST API of the cloud.

Quirks and limits, with the section of the vtiger note or the transcript that shows them:

- Errors come with HTTP 200 in an envelope, and text without one after a write that did take effect (part A,
  transcript 03): a write without a proper answer is uncertain, and looked for before it is sent again.
- The verb is fixed by the operation; a new login challenge invalidates the user's earlier one (part A, A1).
- A query answers 100 rows at most, and takes out rows that we may not see after it was cut (A4).
- `sync` fails on PHP 8, ignores `syncType` in stock operation tables, and forgets edits made in the second it last
  reported (A5). It is probed with every full reading; `changes.py` says what is done instead, and what that misses
  until the next full reading (`full_every`): a deletion that coincides with a restore, a record that becomes visible
  to us, an account that is unlinked from its contacts because it was deleted.
- Times are whole seconds in the server's zone (A4); where that zone has summer time, edits of the repeated hour are
  seen with the next full reading. A version is the time and a digest of the view.
- No lock (A3): records are read again right before they are written; an edit made between is overwritten.
- Deleted, missing and forbidden records give the same error (A3); a query tells which it was. A record that our user
  may no longer see cannot be told from a deleted one: connect as an administrator.
- A contact has 2 e-mail addresses, 6 phone numbers, 2 addresses, 1 organisation, 1 note, a birthday only with its year
  (field map). What has no place stays with us. Addresses of a Lead: 1; phone numbers: 3.
- Text is cut at the column's length, four-byte characters are lost in utf8mb3 databases, entities are decoded
  (A3, transcript 03): `fit` does so beforehand, but holds no half of an address, a number or a link.
- Values that merely look wrong (e-mail, picklist) are stored as they are (A3).
- `tags` cannot be written, photos only read through other doors: both are left alone (field map).
- Consent (field map): `emailoptout` and `donotcall` are about all mail, all calls; Leads have the first only. A mark
  that is off says nothing, so it is never more than "unknown".
- Organisations are records of their own; one that is not there is created, none is ever renamed from a card.
- Every save bumps `modifiedtime`, also one that changes nothing (A3): what does not differ is not sent.
- Our key is kept in `source`, which is stored as given on create (A3).
- A converted Lead vanishes without a trace of the Contact it became (A5); the Contact is linked by who it is.
"""

from connectors.contract import System
from connectors.vtiger.connector import VtigerSettings, connect

CONNECTOR = System(
    name="vtiger",
    title="vTiger CRM",
    settings=VtigerSettings,
    open=connect,
    sandbox="connectors.vtiger.sandbox:create",
)
