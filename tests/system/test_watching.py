"""Who watches a run sees it: every log line carries connection and run, every trace what it cost, neither a secret."""

from __future__ import annotations

import io
import json
import logging
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from desk import Desk
from fastapi.testclient import TestClient
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from app import daemon, logs, tracing
from app.bootstrap import Application, start
from app.engine import access, run
from app.engine.run import sync
from app.jobs.service import open_queue
from app.settings import BadSettings, Settings
from app.store import runs
from connectors.vtiger.sandbox import ACCESS_KEY as SECRET

pytestmark = pytest.mark.usefixtures("logging_as_it_was")


@pytest.fixture
def office(desk: Desk) -> Iterator[Desk]:
    """A CRM with three people, connected."""
    with desk.system("crm", "vtiger") as box:
        box.seed({"lastname": f"Doe{number}", "email": f"doe{number}@example.com"} for number in range(3))
        assert desk("apply", desk.file(desk.entry("crm", "vtiger", every="5s"))).code == 0
        yield desk


# --- logs


def _listen() -> io.StringIO:
    out = io.StringIO()
    logs.setup(Settings(log_format="json", log_level="debug"), out)
    return out


def test_every_line_of_a_run_says_of_which(office: Desk) -> None:
    application = start()
    out = _listen()
    report = sync(application.world(), "crm")
    logging.getLogger("app").info("afterwards")
    application.store.close()
    *lines, after = map(json.loads, out.getvalue().splitlines())
    assert {line["logger"] for line in lines} == {"connectors.http"}
    assert len(lines) == report.tally.requests
    # The first one asks who we are: the run begins with it, and not before.
    assert {(line["connection"], line["run"]) for line in lines} == {("crm", report.run)}
    assert not after.keys() & {"connection", "run"}
    assert "?" not in out.getvalue(), "queries hold sessions"


def test_so_does_every_line_of_what_a_second_thread_sends(office: Desk) -> None:
    with office.system("book", "carddav"):
        assert office("apply", office.file(office.entry("book", "carddav"))).code == 0
        application = start()
        out = _listen()
        sync(application.world(), "crm")
        report = sync(application.world(), "book")
        application.store.close()
    lines = [json.loads(line) for line in out.getvalue().splitlines()]
    ours = [line for line in lines if line.get("connection") != "crm"]
    assert report.tally.created == 3 == sum(line["event"].startswith("PUT ") for line in ours)
    assert {(line.get("connection"), line.get("run")) for line in ours} == {("book", report.run)}


def test_what_is_logged_beside_a_run_is_of_it(office: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """The lease is renewed by a thread of its own."""
    application = start()
    out, told = _listen(), threading.Event()
    monkeypatch.setattr(run, "LEASE", 0.03)
    keep = runs.keep_lease

    def broken(*arguments: Any) -> bool:
        if threading.current_thread() is threading.main_thread():
            return keep(*arguments)
        told.set()
        raise OSError("no lease")

    monkeypatch.setattr(runs, "keep_lease", broken)

    def at(moment: str) -> None:
        for _ in range(2):  # at the second failure the line about the first is written
            told.clear()
            assert told.wait(5), "nobody renewed the lease"

    report = sync(application.world(at=at), "crm")
    application.store.close()
    lines = [json.loads(line) for line in out.getvalue().splitlines()]
    warnings = [line for line in lines if line["logger"] == "app.engine.leases"]
    assert {line["connection"] for line in warnings} == {"crm"}
    assert warnings[-1]["run"] == report.run


@pytest.mark.parametrize(
    "command", [["sync"], ["worker", "--grace", "1"], ["serve", "--port", "0"]], ids=lambda c: c[0]
)
def test_every_process_says_of_which_run_its_lines_are(office: Desk, command: list[str]) -> None:
    environment = {**os.environ, "CONCORD_LOG_FORMAT": "json", "CONCORD_LOG_LEVEL": "debug"}
    words = [sys.executable, "-m", "app", *command]
    ours: list[dict[str, Any]] = []
    with subprocess.Popen(words, env=environment, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr
        for text in process.stderr:
            line = json.loads(text)
            if line["logger"] in ("connectors.http", "app.jobs.perform"):
                ours.append(line)
            if line["logger"] == "app.jobs.perform":
                process.terminate()
    assert ours
    assert {(line["connection"], line["run"]) for line in ours} == {("crm", 1)}
    assert (ours[-1]["logger"] == "app.jobs.perform") == (command != ["sync"]), "a daemon tells what became of it"


# --- traces


@pytest.fixture
def traced(office: Desk) -> Iterator[tuple[Application, InMemorySpanExporter]]:
    exporter, provider = InMemorySpanExporter(), TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    application = start()
    application = replace(application, watch=tracing.both(logs.about, tracing.traced(provider.get_tracer("test"))))
    yield application, exporter
    application.store.close()


def _facts(span: ReadableSpan) -> Mapping[str, Any]:
    return span.attributes or {}


def test_a_run_is_traced_to_its_requests(traced: tuple[Application, InMemorySpanExporter]) -> None:
    application, exporter = traced
    report = sync(application.world(), "crm")
    spans = exporter.get_finished_spans()
    names = {span.context.span_id: span.name for span in spans if span.context}
    above = [(names[s.parent.span_id] if s.parent else None, s.name) for s in spans]
    assert {("run", "page"), ("page", "HTTP GET"), (None, "run")} <= {*above}
    (whole,) = [span for span in spans if span.name == "run"]
    assert dict(_facts(whole)) == {"concord.connection": "crm", "concord.run": report.run, "concord.outcome": "done"}
    requests = [span for span in spans if span.name.startswith("HTTP ")]
    assert len(requests) == report.tally.requests
    assert {_facts(span)["http.response.status_code"] for span in requests} == {200, 404, 500}, "it looks for REST"
    assert {_facts(span)["server.address"] for span in requests} == {"127.0.0.1"}
    assert sum(_facts(span).get("concord.records", 0) for span in spans if span.name == "page") == 3


def test_writes_are_traced_by_the_batch(traced: tuple[Application, InMemorySpanExporter], office: Desk) -> None:
    application, exporter = traced
    sync(application.world(), "crm")
    person = office.people("doe1")[0]["uid"]
    assert office("people", "edit", person, "/name/given=Zoë").code == 0
    exporter.clear()
    report = sync(application.world(), "crm")
    assert report.tally.written == 1
    (batch,) = [span for span in exporter.get_finished_spans() if span.name == "batch"]
    assert _facts(batch)["concord.records"] == 1
    assert batch.context
    inside = [s for s in exporter.get_finished_spans() if s.parent and s.parent.span_id == batch.context.span_id]
    assert inside and all(span.name.startswith("HTTP ") for span in inside)


def test_what_a_second_thread_sends_is_of_the_batch(
    traced: tuple[Application, InMemorySpanExporter], office: Desk
) -> None:
    application, exporter = traced
    sync(application.world(), "crm")
    with office.system("book", "carddav"):
        assert office("apply", office.file(office.entry("book", "carddav"))).code == 0
        sync(application.world(), "book")
    spans = exporter.get_finished_spans()
    (batch,) = [span for span in spans if span.name == "batch"]
    puts = [span for span in spans if span.name == "HTTP PUT"]
    assert len(puts) == 3
    assert {span.parent and span.parent.span_id for span in puts} == {batch.context and batch.context.span_id}


def test_no_trace_holds_a_secret_or_anybodys_data(traced: tuple[Application, InMemorySpanExporter]) -> None:
    application, exporter = traced
    sync(application.world(), "crm")
    tracer = application.watch
    with pytest.raises(RuntimeError), tracer("own", {"told": f"a {SECRET} in it"}) as tell:
        tell("more", [SECRET])
        raise RuntimeError(f"refused: {SECRET}")
    text = "".join(span.to_json() for span in exporter.get_finished_spans())
    assert "told" in text and "RuntimeError" in text
    for planted in (SECRET, "doe1", "Doe1", "sessionName"):
        assert planted not in text
    assert [s.status.status_code for s in exporter.get_finished_spans() if s.name == "own"] == [StatusCode.ERROR]


def test_requests_to_us_are_traced(traced: tuple[Application, InMemorySpanExporter]) -> None:
    application, exporter = traced
    access.add_user(application.store, "ann", "admin", None)
    token, _ = access.issue(application.store, "t", "ann", ["*"], None)
    queue = open_queue(application)
    client = TestClient(daemon.build(application, queue))
    headers = {"authorization": f"Bearer {token}"}
    client.get("/v1/people?search=doe1", headers=headers)
    client.get("/v1/people/nobody", headers=headers)
    client.post("/v1/connections/crm/check", headers=headers)
    queue.close()
    spans = exporter.get_finished_spans()
    asked = [(s.name, _facts(s)["http.response.status_code"]) for s in spans if "http.route" in _facts(s)]
    people, person = "GET /v1/people", "GET /v1/people/{uid}"
    assert asked == [(people, 200), (person, 404), ("POST /v1/connections/{name}/check", 200)]
    (check,) = [span for span in spans if span.name.endswith("/check")]
    assert check.context
    assert [s.name for s in spans if s.parent and s.parent.span_id == check.context.span_id], "what it caused is in it"
    text = "".join(span.to_json() for span in spans)
    assert token not in text and "doe1" not in text


def test_traces_are_off_unless_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    code = (
        "import sys; from app.bootstrap import start; start(); sys.exit(any('opentelemetry' in m for m in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    assert tracing.watching(logs.about, Settings()) is logs.about
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    with pytest.raises(BadSettings, match=re.escape("concord[otel]")):
        tracing.watching(logs.about, Settings(traces="otlp"))


def test_traces_go_where_opentelemetry_is_told(office: Desk, tmp_path: Path) -> None:
    """By its own variables, as it says; a process that ends sends what it has."""
    from http.server import BaseHTTPRequestHandler, HTTPServer

    bodies: list[bytes] = []

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            bodies.append(self.rfile.read(int(self.headers["content-length"])))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Quiet."""

    server = HTTPServer(("127.0.0.1", 0), Collector)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    where = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{server.server_port}", "CONCORD_TRACES": "otlp"}
    words = [sys.executable, "-m", "app", "sync", "--json"]
    done = subprocess.run(words, env={**os.environ, **where}, capture_output=True, text=True, check=False)
    server.shutdown()
    server.server_close()
    assert done.returncode == 0, done.stderr
    sent = b"".join(bodies)
    assert b"concord.connection" in sent and b"HTTP GET" in sent and b"service.name" in sent
    assert SECRET.encode() not in sent


def test_the_requests_that_are_left_are_counted(desk: Desk) -> None:
    with desk.system("books", "xero"):
        desk.settings["books"]["rate"] = 50
        assert desk("apply", desk.file(desk.entry("books", "xero"))).code == 0
        application = start()
        report = sync(application.world(), "books")
        application.store.close()
    assert report.outcome == "done"
    left = report.tally.budget
    assert left["day"] == 5_000 - report.tally.requests + 1, "asking for a token is free"
    assert 0 < left["minute"] < 60 and 0 <= left["burst"] <= 6
