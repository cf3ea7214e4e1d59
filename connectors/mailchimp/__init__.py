"""Mailchimp: one audience, by the Marketing API 3.0.

Quirks and limits, with the section of the mailchimp note that shows them; K: general knowledge, switchable in the
sandbox.

- One e-mail address makes a member (2): a person without one is not held, and of several addresses the others stay with
  us. The address that is held stays while it is in the card.
- Two people who share an address share one member. Who comes second is refused and the member is not touched; only a
  member that carries our key is ours. Creates never go over an existing member (bulk request without
  `update_existing`, 4).
- A record's id is `contact_id`, which stays when the address changes; the hash is in `raw` (2). Members are addressed
  by it, so a write never hits who took over an old address.
- A new address that is another member already: where that is the same person (our key, the name, or no name), fields,
  tags and interests go there and the old one goes to the archive; the other's id comes as the record's, the old one as
  its alias. Where it is not, it is refused. Nothing is ever deleted for good and made anew (2).
- Consent is the status. A profile edit never sends one. New members are `transactional`, unless the person said no
  (`unsubscribed`) or yes with evidence (`subscribed`, the evidence passed on). An opt-out can always be written; who
  unsubscribed, bounced or is under review is subscribed again by nobody but the person (2, "compliance state"): refused
  once, in words, and the profile edit that came with it is done all the same. `pending` sends a mail and is written
  only when it is asked for. Times of opt-in are no evidence of whom an API, an import or an admin added (K).
- Consent to text messages is read; the API cannot write it. Marketing permissions (GDPR check boxes) are left alone.
- DELETE archives (2): that is our delete, and an archived member counts as deleted there. One that comes back is news.
  A person who is made anew comes out of the archive, `unsubscribed` if they once were. Erasure is delete-permanent;
  Mailchimp never takes such an address back from us ("Forgotten Email"): refused.
- Merge fields differ from audience to audience; `layout.py` says how they are understood. Titles in text fields of the
  tag TITLE, images, numbers, zip fields and dates that are no birthday or wedding are left alone. New fields are seen
  with the next sweep and everything is read again then.
- An address is complete (street, city, state, zip) or not held; most European ones, having no state, are not (3). Its
  country is sent as an ISO code; one that we know no code for is not sent, for it would become American (K).
- A birthday has no year there, a date needs one (3). Texts are cut at 255 bytes and lose HTML (3, 8, K): `fit` does so
  beforehand, but holds no half of a number or a link. Notes (a log of remarks) and photos are left alone.
- Groups: tags by their name, interests by "Category: Name". A group that is no interest becomes a tag. Interests are
  never made. Tags set off no automations (`is_syncing`).
- Listings lag behind writes by seconds to minutes (5, K); one member does not. No conditional writes: patches by field.
- Changes come by `since_last_changed`, archived members by a second query; deletions for good, and tags or interests
  alone, only with the sweep, once in `sweep_every` hours (5; `changes.py`). A quiet run costs two requests.
- Creates go 500 a request, with an outcome for each row (4). From `batch_from` on, edits, deletes and reads go through
  /batches, which takes a minute or more (`batches.py`).
- Ten connections at a time for all apps of a user (1): we use one. 429, and 403 without a body, are waited out.
- Our key is kept only where the settings name a merge field for it (`key_field`); else address and name tell.
- An API key tells its data centre; for an OAuth2 token the metadata endpoint does. Tokens do not expire (1, K); there
  is nothing to refresh or rotate. PKCE is sent and ignored there.
"""

from __future__ import annotations

from connectors.contract import System, Webhook
from connectors.mailchimp.client import OAUTH, MailchimpSettings
from connectors.mailchimp.connector import Mailchimp
from connectors.webhooks import moment_and_body_signed_in

CONNECTOR = System(
    name="mailchimp",
    title="Mailchimp",
    settings=MailchimpSettings,
    open=Mailchimp,
    sandbox="connectors.mailchimp.sandbox:create",
    oauth=OAUTH,
    webhook=Webhook(moment_and_body_signed_in("x-mailchimp-signature")),
)
