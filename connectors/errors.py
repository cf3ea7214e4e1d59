"""What can go wrong between us and a remote, named by what we do about it.

Error
├── Throttled      wait `retry_after` seconds, then send the same again
├── Unreachable    nothing took effect; the connection rests and is tried at its next turn
├── Uncertain      the request may have taken effect; look before sending it again
├── Stale          the record changed under us; read it, merge, write again
├── Missing        the record is not there (any more)
├── Refused        this one record will never pass as it is; set it aside with its reason
├── CursorExpired  the remote forgot our place; list everything
└── Unauthorised   the credentials are dead; pause the connection and say how to consent again

Causes (status codes, vendor codes) are mapped to these in one table per connector.
Messages are for an admin: they say what happened and what to do, and never hold a secret.
"""

from __future__ import annotations


class Error(Exception):
    """Base of everything a connector may raise."""


class Throttled(Error):
    """Too many requests.

    retry_after: seconds to wait, or None where the remote did not say.
    """

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Unreachable(Error):
    """The remote cannot be had now, and nothing took effect."""


class Uncertain(Error):
    """No usable answer came to a request that may have taken effect."""


class Stale(Error):
    """The record's version is not the one our write was based on."""


class Missing(Error):
    """The remote has no such record."""


class Refused(Error):
    """The remote (or we) will not take this record as it is; the message is the reason."""


class CursorExpired(Error):
    """The cursor is too old or was made with other parameters."""


class Unauthorised(Error):
    """Credentials refused or revoked; the message says how to renew them."""
