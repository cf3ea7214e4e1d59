"""SugarCRM and SuiteCRM, by the protocol that the server speaks: REST v11 (SugarCRM 7 and later), v4_1 (`legacy`:
SugarCRM CE, SuiteCRM 7), V8 (`suite8`). Which one, is probed without credentials and kept (`connector.py`).

What follows is about v11; the other two packages say what is special with them. Sections are those of the sugarcrm
note, K marks what it calls unconfirmed (switches of the sandbox).

- A user has one session per platform: ours is a platform of its own, which newer servers want registered. A refresh
  kills all earlier tokens, so the new one is stored before it is used; a dead one is replaced by the password (A1).
  Tokens are given for a password or a refresh token, and for nothing else (A1): there is no consent page.
- A list of addresses is replaced as a whole by a write, and flags ("opted out", "invalid") belong to the address, for
  all records that have it, gone ones included (A3). Lists are read again right before they are written, and an address
  that comes to a record brings its flags along: no edit of a profile ever takes an opt-out back.
- Changes go by `date_modified`, which steps by a second (A4): 10 s are looked at twice, pages go on by id within a
  second. An opt-out at a shared address and an account's new name move no contact's time: they are looked for at the
  address (K: where the server shows addresses) and at the account. Membership of target lists leaves no trace: it is
  read with its record, and else with the next full listing (`full_every`), as are purged rows and organisations that
  were deleted.
- Writes are conditional (A5), to the second; deletes are not, so the record is looked at first. A delete keeps the
  row: who is to be forgotten is blanked before. The audit log keeps what it has.
- Groups are target lists (ProspectLists), keywords are tags. Lists of an exempt type say who is not to be mailed: they
  are no groups. A list or account that is not there is made; none is renamed or removed because a card says so.
- Our key is `sync_key`, by which a create can be sent twice and makes one record; only administrators may use it (A6).
  Others name a custom field (`key_field`), or a lost create is found by what it shows.
- A user who may not write a field has it left out of the write; where nothing is left, the write is refused (A3). A
  record that is taken from view cannot be told from a deleted one: connect as an administrator.
- 1 organisation, 1 title, 5 phone numbers, 2 addresses without a post office box, any number of e-mail addresses, a
  birthday only with its year, 1 note; no photo (field map). Texts are cut at the column's length (K); of an address, a
  number or a name of a list half would be another: all or nothing.
- Contacts and Leads hold the same; a lead's organisation is text. A lead that is converted stays beside its contact.
- Ids of leads have the module in front: `Leads/…`.
- Emoji are sent, unless the settings say that the database loses them (K).
"""

from connectors.contract import System
from connectors.sugarcrm.connector import connect
from connectors.sugarcrm.settings import SugarSettings

CONNECTOR = System(
    name="sugarcrm",
    title="SugarCRM, SuiteCRM",
    settings=SugarSettings,
    open=connect,
    sandbox="connectors.sugarcrm.sandbox:create",
)
