"""Who may come in: users and their passwords, tokens and what they open.

Passwords are kept as argon2id hashes, tokens as SHA-256 (they are random, so nothing slower is needed); neither can be
had back. Nobody is told which of name, password and lock was wrong.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import threading
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from typing import TYPE_CHECKING, Final

from app.core import permissions
from app.core.permissions import BOOTSTRAP, EVERYTHING, Role, covers
from app.store import access, audit
from app.store.access import Token, User
from app.store.store import Store, Unit

if TYPE_CHECKING:
    from pwdlib import PasswordHash

PREFIX: Final = "ccd_"
"""Every token begins so: who finds one in a file knows what it is."""
SESSION: Final = timedelta(hours=1)
"""How long a sign-in lasts."""
BOOTSTRAP_LIFE: Final = timedelta(hours=24)
MAX_WRONG: Final = 5
"""Wrong passwords in a row after which a user is locked."""
LOCK: Final = timedelta(minutes=15)
MAX_FAILED: Final = 20
"""Refused sign-ins from one address within `LOCK` after which it has to wait."""
SIGN_IN: Final = "sign_in"
"""The act of signing in, in the audit."""
SHORTEST: Final = 12
LONGEST: Final = 1024
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.@-]{0,63}")
_HASHING = threading.Semaphore(2)
"""Each takes 64 MB for a tenth of a second; a crowd at the door must not take the memory."""
_DOOR: Final = threading.Semaphore(8)
"""How many may wait for that: nor must it take all threads."""


class Denied(Exception):
    """Name and password, or token, do not let in."""


class TooOften(Exception):
    """Too many at one time, or from one address. seconds: until the next is looked at."""

    def __init__(self, seconds: float, words: str = "too many sign-ins; wait before the next one") -> None:
        super().__init__(words)
        self.seconds = seconds


class Taken(Exception):
    """It is there already, or something else stands against it as things are now; the message says what."""


@dataclass(frozen=True, slots=True)
class Principal:
    """Who makes a request. user_id, token_id None: the first start's token, or nobody's."""

    name: str
    role: Role
    permissions: frozenset[str]
    scopes: tuple[str, ...]
    user_id: int | None
    token_id: int | None

    def may(self, permission: str) -> bool:
        return permission in self.permissions


# --- users


def add_user(store: Store, name: str, role: Role, password: str | None, *, first: bool = False) -> None:
    """A new user. password None: comes in with tokens only. first: only as the first one, who must be an admin.

    Raises ValueError for a name or password that cannot be, Taken.
    """
    if not _NAME.fullmatch(name):
        raise ValueError("a name has letters, digits, - _ . and @ only, 64 at most, and begins with a letter or digit")
    hashed = hash_password(name, password) if password is not None else None
    with store.begin(durable=True) as unit:
        if access.user(unit, name) is not None:
            raise Taken(f"there is a user {name} already")
        if first:
            if access.every_user(unit):
                raise Taken("there are users already; sign in as one of them")
            if role != "admin":
                raise ValueError("the first user must be an admin")
            access.revoke_kind(unit, "bootstrap", None)
        access.add_user(unit, name, role, hashed)


def change_user(
    store: Store, name: str, *, role: Role | None = None, enabled: bool | None = None, password: str | None = None
) -> User:
    """Change what is given; whoever is signed in as this user has to sign in anew. Raises LookupError, ValueError,
    Taken where no admin would be left."""
    hashed = hash_password(name, password) if password is not None else None
    with store.begin(durable=True) as unit:
        user = _user(unit, name)
        if hashed is not None or enabled:
            access.update_user(unit, user.id, failures=0, locked=None)
        password = hashed or user.password
        enabled = user.enabled if enabled is None else enabled
        access.update_user(unit, user.id, role=role or user.role, enabled=enabled, password=password)
        access.revoke_kind(unit, "session", user.id)
        _must_have_admin(unit)
        return _user(unit, name)


def remove_user(store: Store, name: str) -> None:
    """With all tokens. Raises LookupError, Taken where no admin would be left."""
    with store.begin(durable=True) as unit:
        access.remove_user(unit, _user(unit, name).id)
        _must_have_admin(unit)


def _user(unit: Unit, name: str) -> User:
    user = access.user(unit, name)
    if user is None:
        raise LookupError(f"no user is called {name!r}")
    return user


def _must_have_admin(unit: Unit) -> None:
    if not any(user.role == "admin" and user.enabled for user in access.every_user(unit)):
        raise Taken("that would leave no admin; make another one first")


def hash_password(name: str, password: str) -> str:
    """The argon2id hash of a new password. Raises ValueError where it is too weak."""
    if not SHORTEST <= len(password) <= LONGEST:
        raise ValueError(f"a password has at least {SHORTEST} characters, and at most {LONGEST:,}")
    named = len(name) >= 4 and name.casefold() in password.casefold()
    if named or len(set(password)) < SHORTEST // 2:
        raise ValueError("this password is easily guessed: it holds the name, or few different characters")
    with _HASHING:
        return _hasher().hash(password)


@cache
def _hasher() -> PasswordHash:
    from pwdlib import PasswordHash  # lazily: only who deals with passwords pays for it

    return PasswordHash.recommended()


@cache
def _nobodys() -> str:
    """The hash that a password is held against where there is none: to know a name must not be quicker."""
    return _hasher().hash(secrets.token_hex())


def _fits(password: str, hashed: str | None) -> bool:
    with _HASHING:
        return _hasher().verify(password[: LONGEST + 1], hashed or _nobodys()) and hashed is not None


# --- signing in


def sign_in(store: Store, name: str, password: str, address: str) -> tuple[str, datetime]:
    """A session's token, and when it ends. Raises Denied, TooOften."""
    with store.read() as unit:
        if audit.failures(unit, address, SIGN_IN, unit.now - LOCK) >= MAX_FAILED:
            raise TooOften(LOCK.total_seconds())
        user = access.user(unit, name)
    if not _DOOR.acquire(blocking=False):
        raise TooOften(2)
    try:
        right = _fits(password, user.password if user else None)
    finally:
        _DOOR.release()
    with store.begin(durable=True) as unit:
        user = access.user(unit, name)
        open_ = user is not None and user.enabled and (user.locked is None or user.locked <= unit.now)
        if user is not None and open_ and right:
            access.update_user(unit, user.id, failures=0, locked=None)
            access.tidy(unit, unit.now)
            token = _new_token()
            ends = unit.now + SESSION
            access.add_token(unit, user.id, "session", "signed in", hash_token(token), [EVERYTHING], ends)
            return token, ends
        if user is not None and open_:
            _count_failure(unit, user)
    raise Denied("wrong name or password; after several wrong ones nobody gets in under that name for a while")


def _count_failure(unit: Unit, user: User) -> None:
    failures = user.failures + 1
    locked = unit.now + LOCK if failures >= MAX_WRONG else None
    access.update_user(unit, user.id, failures=0 if locked else failures, locked=locked)


def change_own_password(store: Store, principal: Principal, old: str, new: str) -> None:
    """Raises Denied where the old one is wrong, TooOften after several wrong ones, ValueError where the new one cannot
    be."""
    with store.read() as unit:
        user = access.user(unit, principal.name)
        if user is not None and user.locked is not None and user.locked > unit.now:
            raise TooOften(LOCK.total_seconds())
    if user is None:
        raise Denied("the old password is wrong")
    if not _DOOR.acquire(blocking=False):
        raise TooOften(2)
    try:
        right = _fits(old, user.password)
    finally:
        _DOOR.release()
    if not right:
        with store.begin(durable=True) as unit:  # who found a session open must not guess on
            _count_failure(unit, _user(unit, user.name))
        raise Denied("the old password is wrong")
    change_user(store, user.name, password=new)


# --- tokens


def principal_of(store: Store, token: str) -> Principal:
    """Whose token this is. Raises Denied where it is nobody's (any more)."""
    with store.read() as unit:
        found = access.token(unit, hash_token(token))
        if found is None or found.revoked or (found.expires is not None and found.expires <= unit.now):
            raise Denied("this token is not known, or not good any more")
        user = access.user_by_id(unit, found.user_id) if found.user_id is not None else None
        if user is not None and not user.enabled:
            raise Denied("this user may not come in any more")
        if found.kind == "bootstrap" and access.every_user(unit):
            raise Denied("there are users by now; sign in as one of them")
        stale = found.used is None or unit.now - found.used > timedelta(minutes=1)
    if stale:
        with store.begin() as unit:
            access.touch(unit, found.id)
    if user is None:
        return Principal("first start", "admin", BOOTSTRAP, tuple(BOOTSTRAP), None, found.id)
    may = permissions.allowed(user.role, found.scopes)
    return Principal(user.name, user.role, may, tuple(found.scopes), user.id, found.id)


def issue(
    store: Store,
    name: str,
    user: str,
    scopes: Sequence[str],
    life: timedelta | None,
    *,
    within: Collection[str] = (EVERYTHING,),
) -> tuple[str, Token]:
    """A new token of that user; it is shown once. life None: it never ends. within: the scopes of who issues it, which
    it cannot exceed.

    Raises LookupError where there is no such user, ValueError for scopes that cannot be.
    """
    wrong = [why for scope in scopes if (why := permissions.problem(scope))]
    wrong += [f"{scope} is more than your own token may" for scope in scopes if not wrong and not covers(within, scope)]
    if wrong or not scopes:
        raise ValueError("; ".join(wrong) or "a token without scopes opens nothing")
    token = _new_token()
    with store.begin(durable=True) as unit:
        expires = unit.now + life if life is not None else None
        owner = _user(unit, user)
        id_ = access.add_token(unit, owner.id, "api", name, hash_token(token), sorted({*scopes}), expires)
        made = access.token_by_id(unit, id_)
    assert made is not None
    return token, made


def revoke(store: Store, token: int, *, of: int | None = None) -> None:
    """It opens nothing from now on. of: only if it is this user's. Raises LookupError."""
    with store.begin(durable=True) as unit:
        found = access.token_by_id(unit, token)
        if found is None or found.kind != "api" or (of is not None and found.user_id != of):
            raise LookupError(f"there is no token {token}")
        access.revoke(unit, token)


def sign_out(store: Store, principal: Principal) -> None:
    """The token that the request came with opens nothing from now on."""
    if principal.token_id is not None:
        with store.begin(durable=True) as unit:
            access.revoke(unit, principal.token_id)


def bootstrap(store: Store, keep: Callable[[str], None]) -> bool:
    """Make a token with which the first admin can be made, and let it be kept; the former one is dead. False where
    there are users. Of daemons that start at once one does this after the other, so what was kept last is good."""
    token = _new_token()
    with store.begin(durable=True) as unit:
        if access.every_user(unit):
            return False
        access.revoke_kind(unit, "bootstrap", None)
        ends = unit.now + BOOTSTRAP_LIFE
        access.add_token(unit, None, "bootstrap", "first start", hash_token(token), sorted(BOOTSTRAP), ends)
        keep(token)
    return True


def hash_token(token: str) -> str:
    """Under what a token is kept."""
    return hashlib.sha256(token.encode(errors="replace")).hexdigest()


def _new_token() -> str:
    return PREFIX + secrets.token_urlsafe(32)
