"""The conformance kit: what every connector must do, as tests.

    class TestAcme(Conformance):
        @pytest.fixture
        def subject(self) -> Iterator[Subject]:
            box = sandbox.create()
            with running(box.app) as url:
                yield Subject(open=lambda: CONNECTOR.open(settings(url), hurried()), faults=box.faults)

    class TestAcmeLive(LiveConformance):
        system = "acme"     # runs where CONCORD_LIVE_ACME names a file with settings

Tests that a system's capabilities rule out are skipped and say why. `docs/writing-a-connector.md` explains the rest.
"""

from __future__ import annotations

import pytest

# Their assertions are to be explained as those of a test module are.
pytest.register_assert_rewrite("connectors.testbench", "connectors.conformance")

from connectors.conformance import Conformance, LiveConformance  # noqa: E402
from connectors.testbench import Bench, Held, Mirror, News, Subject, cards, hurried  # noqa: E402

__all__ = ["Bench", "Conformance", "Held", "LiveConformance", "Mirror", "News", "Subject", "cards", "hurried"]
