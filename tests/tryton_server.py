"""A real Tryton server for the tests: trytond over SQLite, a process of its own on 127.0.0.1.

Making a database takes long (all of the modules' XML), so one is made as a template and kept in the machine's folder
for temporary files, named by the versions it was made with; each server starts over a copy of it. The server is ended
by the handle that started it.

What a demo may share: `config`, the text of a configuration file, and `command`, the command lines of this file as a
program, which make a database and serve it. trytond is imported nowhere else.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import shutil
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

DATABASE = "lab"
LOGIN, PASSWORD = "admin", "lab:pässword"
MODULES = ("party", "account_invoice")
COUNTRIES = {
    "DE": ("Germany", {"DE-NI": "Niedersachsen", "DE-BY": "Bayern"}),
    "FR": ("France", {"FR-BRE": "Bretagne"}),
    "GB": ("United Kingdom", {}),
    "US": ("United States", {"US-TX": "Texas"}),
}


# --- the sharable core: a configuration, two command lines --------------------------------------------------------


def config(folder: Path, port: int) -> str:
    """The configuration of a server whose databases are in `folder`."""
    return (
        f"[database]\nuri = sqlite://\npath = {folder}\n"
        f"[web]\nlisten = 127.0.0.1:{port}\n"
        "[session]\nauthentications = password\nmax_attempt = 1000\n"
    )


def command(verb: str, file: Path) -> list[str]:
    """The command line that makes the database ("make"), or serves it ("serve"), of a configuration file."""
    return [sys.executable, str(Path(__file__).resolve()), verb, str(file)]


def template() -> Path:
    """The database that servers are copies of; made where there is none yet."""
    kept = Path(tempfile.gettempdir()) / f"concord-tryton-{_versions()}"
    kept.mkdir(mode=0o700, parents=True, exist_ok=True)
    made = kept / f"{DATABASE}.sqlite"
    with (kept / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # test runners in parallel make it once
        if not made.exists():
            with tempfile.TemporaryDirectory(dir=kept) as work:
                file = Path(work) / "trytond.conf"
                file.write_text(config(Path(work), 0))
                subprocess.run(command("make", file), check=True, capture_output=True, timeout=200)
                Path(work, f"{DATABASE}.sqlite").rename(made)
    return made


def _versions() -> str:
    """What a template depends on: the code that makes it, the modules, and the year (of its fiscal year)."""
    modules = sorted(f"{found.name} {found.version}" for found in distributions() if found.name.startswith("trytond"))
    parts = [Path(__file__).read_text(), str(datetime.now(UTC).year), *modules]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


# --- a running server ---------------------------------------------------------------------------------------------


@dataclass
class Tryton:
    """A server that answers, and somebody else who works in it (`call`)."""

    url: str
    login: str = LOGIN
    password: str = PASSWORD
    database: str = DATABASE
    session: str = field(default="", repr=False)
    """The header that proves the login, once there was one."""

    def settings(self, **more: Any) -> dict[str, Any]:
        """Settings of a connection to it, secrets in the clear."""
        mine = {"url": self.url, "database": self.database, "username": self.login, "password": self.password}
        return {**mine, "rate": None, **more}

    def call(self, method: str, *params: Any, context: Mapping[str, Any] | None = None) -> Any:
        """The result of a method, asked for by another user's client. Raises RuntimeError with the server's error."""
        if not self.session:
            user, token, _ = self._result("common.db.login", [self.login, {"password": self.password}, "en"])
            self.session = "Session " + b64encode(f"{self.login}:{user}:{token}".encode()).decode()
        return self._result(method, [*params, context or {}])

    def _result(self, method: str, params: list[Any]) -> Any:
        headers = {"authorization": self.session} if self.session else {}
        body = {"id": 1, "method": method, "params": params}
        status, content = self.raw(f"/{self.database}/rpc/", headers, body)
        if status != 200:
            raise RuntimeError(f"{method}: HTTP {status}")
        told = json.loads(content)
        if "error" in told:
            raise RuntimeError(f"{method}: {told['error']}")
        return told["result"]

    def raw(self, path: str, headers: Mapping[str, str], body: Any) -> tuple[int, bytes]:
        """Status and body of an answer."""
        # An answer of more than 1,400 characters is called gzip, although we did not ask for it, and is not.
        sent = {"content-type": "application/json", **headers}
        request = urllib.request.Request(self.url + path, json.dumps(body).encode(), sent)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()

    def wizard(self, name: str, state: str, form: dict[str, Any], then: str, context: dict[str, Any]) -> None:
        """Go through a wizard of one form."""
        session, _, _ = self.call(f"wizard.{name}.create", context=context)
        self.call(f"wizard.{name}.execute", session, {state: form}, then, context=context)
        self.call(f"wizard.{name}.delete", session, context=context)


@contextlib.contextmanager
def tryton(folder: Path) -> Iterator[Tryton]:
    """A server over a fresh copy of the template, in a folder that the caller gives."""
    import servers

    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(template(), folder / f"{DATABASE}.sqlite")
    port = servers.free_port()
    file = folder / "trytond.conf"
    file.write_text(config(folder, port))
    url = f"http://127.0.0.1:{port}"
    with servers.process(command("serve", file), folder / "trytond.log", url):
        yield Tryton(url)


class Front:
    """An ASGI app that hands everything to the real server, so that troubles can be put in between (`Hostile`)."""

    def __init__(self, url: str) -> None:
        self.url = url

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        body, headers = await request.body(), dict(request.headers)
        status, kind, content = await run_in_threadpool(self._ask, scope["path"], headers, body)
        await Response(content, status, {"content-type": kind})(scope, receive, send)

    def _ask(self, path: str, headers: Mapping[str, str], body: bytes) -> tuple[int, str, bytes]:
        kept = {name: headers[name] for name in ("authorization", "content-type") if name in headers}
        request = urllib.request.Request(self.url + path, body, kept)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status, answer.headers.get("content-type", ""), answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.headers.get("content-type", ""), error.read()


# --- as a program: here trytond is imported -----------------------------------------------------------------------


def main(verb: str, file: str) -> None:
    from trytond import config as settings

    settings.update_etc([file])
    _hash_cheaply()
    if verb == "make":
        _make()
    else:
        _serve()


def _hash_cheaply() -> None:
    """A password hash is to be slow; hundreds of logins in a test are not to be."""
    from pwdlib import PasswordHash
    from pwdlib.hashers.argon2 import Argon2Hasher
    from trytond.res import user

    user.PASSWORD_HASH = PasswordHash([Argon2Hasher(time_cost=1, memory_cost=8, parallelism=1)])


def _serve() -> None:
    """As `trytond` does, but without looking up the mail servers of e-mail addresses: no test leaves the machine. The
    answer of a name server that cannot be reached is not held against an address."""
    from dns.resolver import Resolver
    from trytond.pool import Pool
    from trytond.tools import email_
    from trytond.wsgi import app
    from werkzeug.serving import WSGIRequestHandler, run_simple

    nowhere = Resolver(configure=False)
    nowhere.nameservers = []
    email_.resolver = nowhere
    Pool.start()
    Pool(DATABASE).init()
    from trytond import config as settings

    host, port = settings.split_netloc(settings.get("web", "listen"))
    WSGIRequestHandler.log_request = lambda *given: None  # type: ignore[method-assign]
    run_simple(host, port, app, threaded=True)


def _make() -> None:
    """The modules, a password, countries, and a company that can invoice."""
    from trytond import backend
    from trytond import config as settings
    from trytond.model import ModelStorage
    from trytond.pool import Pool
    from trytond.transaction import Transaction

    Path(settings.get("database", "path"), f"{DATABASE}.sqlite").touch()
    # What released modules bring along is valid; to prove it again takes most of the time.
    ModelStorage._validate = classmethod(lambda cls, records, field_names=None: None)
    Pool.start()
    with Transaction().start(DATABASE, 0):
        backend.Database(DATABASE).connect().init()
    Pool(DATABASE).init(update=list(MODULES), lang=["en"], activatedeps=True)
    _within(_configuration)
    _within(_countries)
    company = _within(_company)
    _within(lambda: _accounting(company), company=company, companies=[company])


def _within(work: Callable[[], Any], **context: Any) -> Any:
    """Do it in one transaction, which is begun again where it turns out to need a table for itself."""
    from trytond.transaction import Transaction, TransactionError

    extras: dict[str, Any] = {}
    while True:
        with Transaction().start(DATABASE, 1, context=context, **extras) as transaction:
            try:
                return work()
            except TransactionError as error:
                transaction.rollback()
                error.fix(extras)


def _configuration() -> None:
    from trytond import __series__
    from trytond.pool import Pool

    configuration = Pool().get("ir.configuration")(1)
    configuration.language, configuration.series = "en", __series__
    configuration.save()
    user = {"name": "Lab", "login": LOGIN, "password": PASSWORD, "administrator": True}
    Pool().get("res.user").create([user])


def _countries() -> None:
    from trytond.pool import Pool

    pool = Pool()
    for code, (name, parts) in COUNTRIES.items():
        [country] = pool.get("country.country").create([{"code": code, "name": name}])
        pool.get("country.subdivision").create(
            [{"country": country.id, "code": key, "name": text, "type": "state"} for key, text in parts.items()]
        )


def _company() -> int:
    from trytond.pool import Pool

    pool = Pool()
    [currency] = pool.get("currency.currency").create(
        [{"name": "Euro", "symbol": "€", "code": "EUR", "numeric_code": "978", "digits": 2}]
    )
    pool.get("currency.currency.rate").create([{"currency": currency.id, "rate": 1, "date": date(2020, 1, 1)}])
    [party] = pool.get("party.party").create([{"name": "Lab Ltd", "addresses": None}])
    [company] = pool.get("company.company").create([{"party": party.id, "currency": currency.id}])
    users = pool.get("res.user").search([("login", "=", LOGIN)])
    pool.get("res.user").write(users, {"companies": [("add", [company.id])], "company": company.id})
    return int(company.id)


def _accounting(number: int) -> None:
    from trytond.modules.account.tests.test_module import create_chart, get_fiscalyear
    from trytond.modules.account_invoice.tests.test_module import set_invoice_sequences
    from trytond.pool import Pool

    company = Pool().get("company.company")(number)
    create_chart(company, tax=False)
    year = set_invoice_sequences(get_fiscalyear(company))
    year.save()
    Pool().get("account.fiscalyear").create_period([year])


if __name__ == "__main__":
    main(*sys.argv[1:])
