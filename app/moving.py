"""The database to another place, into a backup, and back."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import migrations
from app.bootstrap import Application, start
from app.engine import privacy
from app.settings import BadSettings, Settings
from app.store import copying
from app.store.copying import Proof
from app.store.store import Store

Progress = Callable[[str, int], None]


class InUse(Exception):
    """Somebody works with a database that must stand still; the message says who."""


@dataclass(frozen=True, slots=True)
class Moved:
    """What was copied, proved on both sides. key: where the key of the credentials was copied to, if it was."""

    proofs: list[Proof]
    key: Path | None


@dataclass(frozen=True, slots=True)
class Restored:
    """What came of a restore. aside: where the former database is. forgotten: how many persons were erased again."""

    people: int
    aside: Path | None
    forgotten: int


def move_database(
    settings: Settings, source_url: str, target_url: str, progress: Progress = lambda t, n: None
) -> Moved:
    """Copy everything to an empty database, and prove that both hold the same. The source stays as it is.

    Raises InUse, ValueError where the target is not empty, copying.Mismatch, BadSettings.
    """
    source_settings, target_settings = (at(settings, url) for url in (source_url, target_url))
    if source_settings.database_url == target_settings.database_url:
        raise ValueError("both are the same database")
    if (file := source_settings.database_file) is not None and not file.exists():
        raise FileNotFoundError(f"there is no database at {file}")
    with _opened(source_settings) as source, _opened(target_settings) as target:
        _must_rest(source)
        _must_be_empty(target)
        # As a writer, that nobody else writes meanwhile.
        with source.begin() as original, target.begin(durable=True) as twin:
            proofs = copying.copy(original, twin, progress)
    return Moved(proofs, _take_key_along(source_settings, target_settings))


def backup(application: Application, file: Path, *, replace: bool = False) -> int:
    """The database as it is now in one file, whatever database it is, while the daemon runs; its size in bytes.

    The key of the credentials is not in it. Raises FileExistsError, copying.Mismatch.
    """
    if file.exists() and not replace:
        raise FileExistsError(f"{file} is there already; choose another name, or say --replace")
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with _draft(file) as draft:
        if application.settings.database_file is not None:
            copying.snapshot(application.store, draft)
        else:
            _dump(application, draft)
        with draft.open("rb") as written:
            os.fsync(written.fileno())
        draft.replace(file)
    return file.stat().st_size


def _dump(application: Application, draft: Path) -> None:
    twin = Store(f"sqlite:///{draft}", application.store.clock)
    try:
        migrations.upgrade(twin.engine)
        with application.store.read() as original, twin.begin(durable=True) as copy:
            copying.copy(original, copy)
        with twin.engine.connect() as raw:  # one file, without its journal beside it
            raw.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    finally:
        twin.close()


def restore(settings: Settings, file: Path, *, replace: bool = False) -> Restored:
    """Make a backup the database. replace: although there is one; it is kept beside (SQLite only).

    Persons who were erased from the replaced database are erased again. What changed in the systems since the backup is
    read from them at the next sync, before anything is written. Raises InUse, FileNotFoundError, ValueError.
    """
    if not file.is_file():
        raise FileNotFoundError(f"there is no backup at {file}")
    home = settings.database_file.parent if settings.database_file else settings.home
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    with tempfile.TemporaryDirectory(dir=home, prefix="restore-") as folder:
        draft = Path(folder) / "concord.db"
        shutil.copyfile(file, draft)  # the backup itself is not brought up to date
        number = _check(draft, file)
        erased, hashes, aside = _put_in_place(settings, draft, replace)
    application = start(settings)
    try:
        return Restored(number, aside, _forget_again(application, erased, hashes))
    finally:
        application.store.close()


def _check(draft: Path, file: Path) -> int:
    """Bring the copy up to date and make it rest; how many people it holds."""
    from app.store import people

    draft.chmod(0o600)
    with draft.open("rb") as start_:
        if start_.read(15) != b"SQLite format 3":
            raise ValueError(f"{file} is no backup of Concord")
    store = Store(f"sqlite:///{draft}", lambda: datetime.now(UTC))
    try:
        if migrations.current(store.engine) is None:
            raise ValueError(f"{file} is no backup of Concord")
        migrations.upgrade(store.engine)
        with store.begin(durable=True) as unit:
            copying.settle_restored(unit)
        with store.read() as unit:
            number = people.count(unit)
        with store.engine.connect() as raw:
            raw.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return number
    finally:
        store.close()


Forgotten = tuple[list[str], dict[str, datetime], Path | None]


def _put_in_place(settings: Settings, draft: Path, replace: bool) -> Forgotten:
    """Make it the database: (who was erased from the former one, their addresses' hashes, where that one is)."""
    if settings.database_file is None:
        with _opened(settings) as target, _opened(at(settings, f"sqlite:///{draft}")) as source:
            _must_rest(target)
            _must_be_empty(target)
            with source.begin() as original, target.begin(durable=True) as twin:
                copying.copy(original, twin)
        return [], {}, None
    file, aside, erased, hashes = settings.database_file, None, [], {}
    if file.exists():
        with _opened(settings) as former:
            _must_rest(former)
            with former.read() as unit:
                empty, erased, hashes = copying.is_empty(unit), copying.erased(unit), copying.kept_out(unit)
            if not (empty or replace):
                raise ValueError(f"there is a database at {file}; to put it aside, say --replace")
            with former.engine.connect() as raw:
                raw.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        aside = file.with_name(f"{file.name}.{datetime.now(UTC):%Y%m%dT%H%M%SZ}")
        file.rename(aside)
        for rest in ("-wal", "-shm"):
            file.with_name(file.name + rest).unlink(missing_ok=True)
    draft.replace(file)
    return erased, hashes, aside


def _forget_again(application: Application, erased: list[str], hashes: Mapping[str, datetime]) -> int:
    """Who asked to be forgotten since the backup is not brought back by it."""
    with application.store.begin(durable=True) as unit:
        copying.keep_out(unit, dict(hashes))
        back = copying.live_among(unit, erased)
    for uid in back:
        privacy.erase(application.world(), uid, "restore")
    return len(back)


# --- what all of them need


def at(settings: Settings, url: str) -> Settings:
    """The same installation with another database. Raises BadSettings."""
    values = {name: getattr(settings, name) for name in Settings.model_fields if name not in ("database_url", "queue")}
    try:
        return Settings.model_validate({**values, "database_url": url})
    except ValueError:
        raise BadSettings(
            f"{url.partition('@')[0].partition(':')[0]}:… is no database; begin with sqlite:/// or postgresql://"
        ) from None


@contextmanager
def _opened(settings: Settings) -> Iterator[Store]:
    if settings.database_file is not None:
        settings.database_file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    store = Store(settings.database_url, lambda: datetime.now(UTC))
    try:
        migrations.upgrade(store.engine)
        yield store
    finally:
        store.close()


@contextmanager
def _draft(file: Path) -> Iterator[Path]:
    """A file beside it, for its owner only, that is gone unless it was put in its place."""
    draft = file.with_name(f".{file.name}.{os.getpid()}.draft")
    draft.touch(mode=0o600, exist_ok=False)
    try:
        yield draft
    finally:
        for rest in ("", "-wal", "-shm", "-journal"):
            draft.with_name(draft.name + rest).unlink(missing_ok=True)


def _must_rest(store: Store) -> None:
    with store.read() as unit:
        if owners := copying.in_use(unit):
            raise InUse(f"end what works with the database first: {', '.join(sorted(owners))}")


def _must_be_empty(store: Store) -> None:
    with store.read() as unit:
        if not copying.is_empty(unit):
            where = store.engine.url.render_as_string(hide_password=True)
            raise ValueError(f"{where} is not empty; give it an empty database")


def _take_key_along(source: Settings, target: Settings) -> Path | None:
    """The key of the credentials lies beside the database, unless the environment brings it."""
    if source.secrets_keys or source.key_file == target.key_file or not source.key_file.exists():
        return None
    if target.key_file.exists():
        if target.key_file.read_bytes() == source.key_file.read_bytes():
            return None
        raise FileExistsError(
            f"{target.key_file} holds another key than {source.key_file}; put that in its place, for it fits the "
            "credentials that were copied"
        )
    target.key_file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with os.fdopen(os.open(target.key_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
        out.write(source.key_file.read_bytes())
    return target.key_file
