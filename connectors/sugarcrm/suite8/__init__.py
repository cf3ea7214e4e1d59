"""SuiteCRM through its V8 JSON:API: for servers whose `service/v4_1/rest.php` is closed. Where it is open, it can more.

Quirks and limits, with what shows them (sugarcrm note, part B, V8; transcript v8-01; SuiteCRM's source by class):

- Nearly every error is HTTP 400, `errors` being an object; a wrong password is HTTP 500 and its text repeats the
  password: no word of the token endpoint is ever told (v8-01). Refresh tokens work once.
- Times have no seconds under the default time format (note), and there is no feed of deletions: `changes.py`.
- Only an order by id lists every row; without a page size there are 20 rows and no more (note; live notes).
- A record shows two addresses and the flags of the first; PATCH leaves addresses alone in silence (v8-01). So they are
  linked (RelationshipService), and flags are read and written at the module EmailAddresses. Which address is primary
  is said by the link that it is made with; where a server does not take that, the first one is it.
- Target lists are not read: it would take a request for each list or each record. Memberships are left alone.
- No bulk and no lock: a write is a look, a PATCH and a look. Creates bring their own id, made of our key; an id that
  was ever used is refused (v8-01), so that no create is done twice.
- Relationships, and the module EmailAddresses, are as SuiteCRM's source says; no live server was asked for them.
"""
