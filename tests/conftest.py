"""What every test has: the PostgreSQL fixtures, the search profiles, an environment without the user's own settings."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator

import pytest
import structlog
from hypothesis import HealthCheck, settings

pytest_plugins = ["postgres"]

# Both repeat the same search every time; `make test-long` searches deeper. A history takes up to a second.
_SLOW_IS_FINE = [HealthCheck.too_slow, HealthCheck.data_too_large]
for _name, _examples in (("short", 40), ("long", 1_000)):
    settings.register_profile(
        _name, max_examples=_examples, derandomize=True, deadline=None, suppress_health_check=_SLOW_IS_FINE
    )
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "short"))


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """`-n auto`: many tests wait for other processes, so a core has work for two; each worker has a PostgreSQL and
    servers of its own, so four are enough."""
    return min(4, 2 * len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 4)


@pytest.fixture(autouse=True)
def _no_settings_of_the_user(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """No test sees, or writes into, the data folder of whoever runs it."""
    for name in os.environ.copy():
        # CONCORD_LIVE_… are the accounts that the conformance kit may be run against.
        if name.startswith("CONCORD_") and not name.startswith("CONCORD_LIVE_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("CONCORD_HOME", str(tmp_path_factory.getbasetemp() / "home"))


@pytest.fixture
def logging_as_it_was() -> Iterator[None]:
    """A started application makes the log its own, and takes it to a standard error that is gone after the test."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()
