"""The brake: a run that would take too much away stops before the first loss and asks."""

from __future__ import annotations

FEW = 10
SHARE = 0.05


def may_lose(losing: int, links: int) -> bool:
    """May a run take values or people away through `losing` of a connection's `links` records without asking?"""
    return losing <= max(FEW, SHARE * links)
