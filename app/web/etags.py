"""ETags: the revision of what two may edit at once."""

from __future__ import annotations

import re
from typing import Any, Final

from app.web.problems import Failure

ETAG: Final[dict[int | str, dict[str, Any]]] = {
    200: {"headers": {"ETag": {"description": "The revision.", "schema": {"type": "string"}}}}
}
"""How the header of an answer is documented, for a route."""


def revision(etag: str) -> int | None:
    """The revision that an If-Match names; None for *: whatever it is."""
    if etag.strip() == "*":
        return None
    found = re.fullmatch(r'"(\d{1,18})"', etag.strip())
    if found is None:
        raise Failure(412, "this is no ETag of what is to be changed; read it again")
    return int(found[1])
