"""SugarCRM CE and SuiteCRM 7 through `service/v4_1/rest.php`.

Quirks and limits, with the section of the sugarcrm note (part B), the transcript (suitecrm/v41-…) or the source of
SuiteCRM that shows them:

- Faults come with HTTP 200, and what ends in PHP or in SQL with HTTP 500 and a text (B). Parameters are bound by name
  on PHP 8, by position before: a list is sent, which both take (v41-00).
- Success is answered for what was not done: unknown and deleted ids, forbidden rows, links to nothing (v41-02, 03, 04).
  Only what a look afterwards shows is believed; what is not shown is told by name.
- No lock: rows are looked at right before they are written; an edit made between is overwritten.
- Conditions want qualified columns, orders unqualified ones (v41-03, 03b); `next_offset` never ends; walks without an
  order, or by time alone, lose rows. All walks are by id, each page after the last id.
- Deleted rows are shown when asked for, with the time of their deletion (v41-03); purged ones never: a full listing
  once in `full_every` hours finds them.
- Addresses are beans that all who have them share, with their opt-outs. Changing them with the record is silently
  ignored where there is one (v41-02b), and on create resets an opt-out (SugarEmailAddress::AddUpdateEmailAddress): so
  they are looked up or made with their flags, and linked. SugarCRM CE writes them anew with each save (B, E-mail
  traps): what it takes away is put back. The primary address is `email1`; the links do not say (v41-02).
- Non-administrators may lack the right to the module EmailAddresses: such a write is refused and says so.
- Addresses, target lists and accounts do not move a contact's time: `changes.py` says how they are watched.
- A new record's id is our key (`new_with_id`), so a create whose answer was lost is found by its id, and no foreign
  field is used. Ids that were used and deleted are not used again.
- A Contact's organisation is an account, found by name or made, never renamed; a Lead's is free text. Converted leads
  stay leads; their contact is linked by who it is.
- Reads encode quotes and angle brackets, and nothing else; tags are taken out of all but the description; four-byte
  characters are lost (B, HTML entities). `fit` does so beforehand.
- Target lists are groups; exempt lists (who must not be mailed) are left alone. Tags and photos cannot be had.
- No rate limit is published; sessions die after some idle time and are renewed once.
"""
