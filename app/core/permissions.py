"""Who may do what. A permission is a text like `people:write`; roles and tokens are sets of them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final, Literal

Role = Literal["admin", "operator", "viewer", "webhook"]

READABLE: Final = frozenset(
    {"connections", "people", "groups", "runs", "plans", "conflicts", "refused", "consent", "self"}
)
"""What a viewer may look at."""

VIEWER: Final = frozenset({f"{name}:read" for name in READABLE} | {"self:write"})
OPERATOR: Final = VIEWER | {
    "connections:operate",
    "people:write",
    "people:export",
    "groups:write",
    "plans:write",
    "conflicts:write",
    "refused:write",
    "consent:write",
    "imports:write",
    "exports:read",
    "tokens:read",
    "tokens:write",
}
ADMIN: Final = OPERATOR | {
    "connections:write",
    "people:erase",
    "users:read",
    "users:write",
    "audit:read",
    "hooks:write",
}
ROLES: Final[Mapping[Role, frozenset[str]]] = {
    "admin": ADMIN,
    "operator": OPERATOR,
    "viewer": VIEWER,
    "webhook": frozenset({"hooks:write"}),
}
EVERYTHING: Final = "*"
"""As a token's scope: whatever its user may do."""
BOOTSTRAP: Final = frozenset({"users:write"})
"""What the first start's token may: make the first admin."""


def allowed(role: Role, scopes: Collection[str]) -> frozenset[str]:
    """What a token with these scopes may do for a user of this role."""
    return frozenset(permission for permission in ROLES[role] if covers(scopes, permission))


def covers(scopes: Collection[str], permission: str) -> bool:
    """Do these scopes hold this permission (or scope)? `people:*` holds all that begin with `people:`."""
    return EVERYTHING in scopes or permission in scopes or f"{permission.partition(':')[0]}:*" in scopes


def problem(scope: str) -> str | None:
    """Why this is no scope, in words; None where it is one."""
    resources = {permission.partition(":")[0] for permission in ADMIN}
    if scope == EVERYTHING or scope in ADMIN or (scope.endswith(":*") and scope[:-2] in resources):
        return None
    return f"{scope[:80]!r} is no scope; there are *, {', '.join(sorted(ADMIN))}, and each resource with :*"
