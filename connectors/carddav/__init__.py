"""CardDAV (RFC 6352): address books on Radicale, Xandikos, DAViCal, Nextcloud, Fastmail, iCloud and their like.

Sources: `vcard-carddav` and `observed-live-others` are the protocol notes this was built from; RFC numbers otherwise;
"probed" was seen here on Radicale 3.9.0 and Xandikos 0.4.10.

How
- Discovery (RFC 6764, RFC 6352 section 7): what the DNS of a typed domain announces (`services`), else the typed URL,
  else /.well-known/carddav; current-user-principal; addressbook-home-set; the address books in it. The result is kept
  in the cursor, and remembered for runs that only write: later runs ask for nothing of it.
- Delta by sync-collection (RFC 6578): one request when nothing changed. Without it: the ctag, and where that moved, a
  listing of ETags that is complete and so proves deletions.
- Up to 100 changed cards are read at once and given in full; of more only names and ETags are listed.
- An id is the card's path. Creates go to `<address book>/<key>.vcf` with `If-None-Match: *` and UID = key; so a create
  whose answer was lost is found by reading that path, and cannot be made twice.
- Updates patch the original text (`Record.raw`), under If-Match; lines that nobody changed stay byte for byte.

Quirks
- A strong ETag promises that the card is stored as sent (RFC 6352 section 6.3.2.3); Radicale gives one and rewrites the
  card (observed-live-others). So writes are read back, 50 at a time, until the server has proved with other cards that
  it keeps such values (`kept`, remembered from run to run); then what was sent is the answer, and what became of it is
  seen with the next news. Without an ETag a write is read back at once, for nothing tells our text from somebody's
  later edit.
- Weak ETags elsewhere lose their `W/`: compressing proxies put it there, and If-Match would never match.
- A sync token that is too old: 403, 409, 412 or 507 with `valid-sync-token`; DAViCal answers 207 with everything
  instead, so that what was deleted in the meantime is not noticed there (observed-live-others).
- Truncated sync: 507 for the address book itself means go on with the new token (RFC 6578 section 3.6).
- 412 to an update can also mean that the card is gone (Radicale, Xandikos: probed), so it is looked for; and to a
  create that it is too large (Radicale's code) or no vCard (Xandikos, with `valid-address-data`): sizes are checked
  before sending.
- The same UID at another path: 409 on Radicale, accepted by Xandikos and DAViCal (observed-live-others).
- multiget of what is not there: 404 entries, or silence (DAViCal): then each is asked for by GET. Where
  nothing at all was found, the address book itself is looked for: Xandikos answers a PROPFIND of one that is gone with
  207, and in it 404 (probed).
- Writes go one after the other: Xandikos refuses two at once with 423, and on the same machine more gain nothing
  (probed on Radicale 3.9, which closes the connection after each answer, and Xandikos: 400 creates over 1, 2 or 4
  connections took 7.4 s, 6.5 s, 6.9 s and 5.9 s, 6.3 s, 6.0 s).
- Radicale keeps a file of history for every card once it was asked for a sync token, and goes through all of them at
  every PUT: 39 ms instead of 7.5 at 5,000 cards (probed on 3.9). A listing of ETags would spare it that, and costs
  1 MB and 0.6 s whenever anything changed, where the delta costs 0.2 KB and 0.27 s.
- Address data in XML comes with LF line ends (XML 1.0 section 2.11).
- A card that was torn in Radicale's folder is left out of all its answers, as if it were deleted (probed on 3.9); a
  torn card that Xandikos serves is refused with its reason, and nobody gets a second one beside it.

Limits
- Basic and Digest authentication, as the server asks (`login`); of Digest what httpx knows: MD5, SHA and SHA-2 but for
  SHA-512-256, and no `auth-int`. The password goes to the typed host, or to one within the typed domain that its
  DNS names, alone (RFC 6764 section 8): where the account lives elsewhere (iCloud's pNN-contacts), type that host.
- New cards are vCard 3.0, which every server and phone reads, unless the server takes 4.0 alone.
- Groups: CATEGORIES, and group cards (Apple's and vCard 4's) shown on their members. Membership in a group that has a
  card is written there. A new group becomes a card where other groups are cards, and a category where none is, or where
  contacts have it as one; at a server that cannot search, the latter is not known. Group cards are not renamed or
  deleted here, also not when they are empty; one in another address book is not seen; members known by e-mail address
  only are ignored. A membership that ended while the sync token was lost is noticed when the contact itself changes
  next.
"""

from connectors.carddav.client import CardDAVSettings
from connectors.carddav.connector import CardDAV
from connectors.contract import System

CONNECTOR = System(
    name="carddav",
    title="CardDAV address book",
    settings=CardDAVSettings,
    open=CardDAV,
    sandbox="connectors.carddav.sandbox:create",
)
