"""Google Contacts, by the People API v1.

What it holds: names, nicknames, e-mail addresses, phones and addresses (any number, with types and custom labels),
organisations with department and title, roles (`occupations`), birthday and other dates without a year if need be,
one note, links, related people, messengers and SIP addresses, labels (contact groups), keywords (`miscKeywords`,
invisible in Google's own pages), one photo.

Quirks, and what is done about them (numbers are those of the sections of the google-people protocol note; "disc" is the
discovery document people.v1 of 2025-11-17; K: general knowledge, switchable in the sandbox):

- A record's id is the id of its CONTACT source, not its resource name: that one changes when a contact is linked to a
  profile, and a full listing does not tell its former ones (6; disc). Former names come as aliases. People/cN has the
  source id N in hexadecimal (3).
- Listings show writes minutes late (4.5): `lag` and `find_lag` are 600 s. `modified` is the source's updateTime, so an
  old read is known as old. A contact whose create got lost is searched by our key in `clientData` (6).
- A sync token is bound to the exact parameters and lives 7 days; an expired one is HTTP 400 (4.3, 4.4). The cursor
  holds a hash of the parameters. Full listings and deltas give a cursor on the last page only: page tokens are
  short-lived.
- A quiet run costs two requests: contacts and contact groups (4.6), and an access token once an hour.
- A renamed group is not reported on its members: they are read again.
- An update replaces whole lists (5): only changed ones are sent, made from the list as read, so unknown properties,
  custom labels and past jobs survive. Items of a linked profile are not ours and never sent (8). User-defined fields,
  genders, external ids, calendars, locations are neither read nor touched.
- Writes are conditional on the CONTACT source's etag; the top-level one mismatches spuriously (5). Deletes have no
  condition: the contact is looked at just before. A batch has one mask; a refused one names its faulty contacts
  (`contactErrors`) or is halved until they are found. Writes go one after another (5).
- Creates are not idempotent and a refused batch may be half done (2): all it does not name count as uncertain.
- names, biographies, birthdays, genders are singletons: a second one is HTTP 400 (3), so one note is held. HTML notes
  are shown as they are; once we change them they are plain text.
- One type says what a phone or an address is: a label wins over contexts; "home and work" becomes work.
- Google parses a name that comes without parts (8, K): its parts are then shown.
- Two accounts of the same person, or two labels that differ in case only, are one here as there: group names are unique
  (409). Names of system groups (friends, family …) that Google keeps to itself are left out (9). A contact stays in
  myContacts (5).
- Photos have addresses, not contents, and the address alone gives a thumbnail: the largest size is fetched, once for
  each contact with a photo in a listing or delta, never for an answer whose address is the known one. Google may keep a
  smaller copy of what it is given; that is its view and is never taken for an edit. `photos: false` leaves them alone.
- Quotas (7): per minute and user, 20 s pause; daily ones (the other shape of 429), an hour's.
- A refresh token dies after 7 days while the consent screen is in Testing, after six months unused, when revoked (1).

Limits of Google: 25,000 contacts an account, about 500 fields and 128 KB a contact (K).
"""

from __future__ import annotations

from connectors.contract import System
from connectors.google.client import OAUTH, GoogleSettings
from connectors.google.connector import Google

CONNECTOR = System(
    name="google",
    title="Google Contacts",
    settings=GoogleSettings,
    open=Google,
    sandbox="connectors.google.sandbox:create",
    oauth=OAUTH,
)
