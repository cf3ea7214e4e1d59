"""A real Tryton as a program: `python -P tryton.py serve FILE` makes the database of a configuration file where there
is none yet, and serves it. trytond is imported here only, and by no process of ours.

Making a database takes long (all of the modules' XML), so one is made as a template and kept in the machine's folder
for temporary files, named by what it was made with; each server serves a copy of it.
"""

# mypy: disable-error-code="import-untyped"

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from datetime import UTC, date, datetime
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

DATABASE = "lab"
LOGIN, PASSWORD = "admin", "lab:pässword"
MODULES = ("party", "account_invoice")
COUNTRIES: dict[str, tuple[str, dict[str, str]]] = {
    "DE": ("Germany", {"DE-NI": "Niedersachsen", "DE-BY": "Bayern"}),
    "FR": ("France", {"FR-BRE": "Bretagne"}),
    "GB": ("United Kingdom", {}),
    "US": ("United States", {"US-TX": "Texas"}),
}
MAKING = 200.0
"""Seconds that the template may take."""


def config(folder: Path, port: int) -> str:
    """The configuration of a server whose databases are in `folder`."""
    return (
        f"[database]\nuri = sqlite://\npath = {folder}\n"
        f"[web]\nlisten = 127.0.0.1:{port}\n"
        "[session]\nauthentications = password\nmax_attempt = 1000\n"
    )


def command(verb: str, file: Path) -> list[str]:
    """The command line that makes the database ("make"), or serves it ("serve"), of a configuration file."""
    return [sys.executable, "-P", str(Path(__file__).resolve()), verb, str(file)]


# --- the template ----------------------------------------------------------------------------------------------------


def template() -> Path:
    """The database that servers are copies of; made where there is none yet."""
    import fcntl  # here: this file is imported where there are no such locks, too

    kept = Path(tempfile.gettempdir()) / f"concord-tryton-{os.getuid()}-{_versions()}"
    kept.mkdir(mode=0o700, parents=True, exist_ok=True)
    if kept.stat().st_uid != os.getuid():
        raise SystemExit(f"{kept} is somebody else's; remove it")
    made = kept / f"{DATABASE}.sqlite"
    with (kept / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # who starts at the same time waits and finds it
        if not made.exists():
            with tempfile.TemporaryDirectory(dir=kept) as work:
                file = Path(work) / "trytond.conf"
                file.write_text(config(Path(work), 0))
                done = subprocess.run(command("make", file), check=False, timeout=MAKING)
                if done.returncode:
                    sys.exit(done.returncode)  # the maker said why
                Path(work, made.name).rename(made)
    return made


def _versions() -> str:
    """What a template depends on: the code that makes it, the modules, and the year (of its fiscal year)."""
    modules = sorted(f"{found.name} {found.version}" for found in distributions() if found.name.startswith("trytond"))
    parts = [Path(__file__).read_text(), str(datetime.now(UTC).year), *modules]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


# --- serving ---------------------------------------------------------------------------------------------------------


def serve(database: Path) -> None:
    """As `trytond` does, but without looking up the mail servers of e-mail addresses: nothing leaves the machine. The
    answer of a name server that cannot be reached is not held against an address."""
    if not database.exists():
        signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))  # it takes the maker along
        shutil.copy(template(), database)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)

    from dns.resolver import Resolver
    from trytond import config as settings
    from trytond.pool import Pool
    from trytond.tools import email_
    from trytond.wsgi import app
    from werkzeug.serving import WSGIRequestHandler, run_simple

    nowhere = Resolver(configure=False)
    nowhere.nameservers = []
    email_.resolver = nowhere
    Pool.start()
    Pool(DATABASE).init()
    host, port = settings.split_netloc(settings.get("web", "listen"))
    WSGIRequestHandler.log_request = lambda *given: None  # type: ignore[method-assign]
    run_simple(host, port, app, threaded=True)


def _hash_cheaply() -> None:
    """A password hash is to be slow; hundreds of logins in a test are not to be."""
    from pwdlib import PasswordHash
    from pwdlib.hashers.argon2 import Argon2Hasher
    from trytond.res import user

    user.PASSWORD_HASH = PasswordHash([Argon2Hasher(time_cost=1, memory_cost=8, parallelism=1)])


# --- making ----------------------------------------------------------------------------------------------------------


def make(database: Path) -> None:
    """The modules, a password, countries, and a company that can invoice."""
    from trytond import backend
    from trytond.model import ModelStorage
    from trytond.pool import Pool
    from trytond.transaction import Transaction

    database.touch()
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


def main(verb: str, file: str) -> None:
    from trytond import config as settings

    settings.update_etc([file])
    _hash_cheaply()
    work = {"make": make, "serve": serve}[verb]
    work(Path(settings.get("database", "path"), f"{DATABASE}.sqlite"))


if __name__ == "__main__":
    main(*sys.argv[1:])
