"""Many operations in one request: POST /batches, wait, fetch a tar of results (mailchimp note 4).

Steps are generators that yield operations and are given their answers, so that what is to be done for one member is
written once, whether its requests go out alone or with those of many others.
"""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Generator, Iterator, Mapping
from typing import Any, Final, TypeVar

import orjson

from connectors.contract import Context, batched
from connectors.errors import Error, Missing, Refused, Stale, Throttled, Unauthorised, Uncertain, Unreachable
from connectors.mailchimp.answers import judge
from connectors.mailchimp.client import Client, Operation

T = TypeVar("T")
Step = Generator[Operation, Any, T]

OPERATIONS: Final = 500
"""Operations of one batch (note 4 tells of a thousand at most)."""
PATIENCE: Final = 3600.0
"""Seconds after which a batch that is not finished counts as lost from sight."""
FIRST_LOOK, LONGEST_PAUSE = 2.0, 30.0
"""Seconds before the first look at a batch, and at most between two."""
OF_ONE: Final = (Missing, Refused, Stale, Uncertain)
"""Errors about one member; others end the run."""


def run(
    steps: Mapping[str, Step[T]], client: Client, context: Context, batch_from: int
) -> Iterator[tuple[str, T | Error]]:
    """Do the steps: (name, result or error about it) of each, as soon as it is known.

    batch_from: with so many requests due at once they go out in a batch. Raises what ends the run.
    """
    if len(steps) < batch_from:
        for name, step in steps.items():
            yield name, _alone(step, client)
        return
    ending: Error | None = None
    answers: dict[str, Any] = dict.fromkeys(steps)
    while answers:
        due: dict[str, Operation] = {}
        for name, answer in answers.items():
            try:
                due[name] = _next(steps[name], answer)
            except StopIteration as done:
                yield name, done.value
            except OF_ONE as error:
                yield name, error
            except Error as error:
                ending = error
        if len(due) < batch_from:
            for name, operation in due.items():
                yield name, _alone(steps[name], client, operation)
            break
        answers = send_all(due, client, context)
    if ending:
        raise ending


def _next(step: Step[T], answer: Any) -> Operation:
    """The step's next operation, once it was given the answer (or the error) to its last."""
    return step.throw(answer) if isinstance(answer, Error) else step.send(answer)


def _alone(step: Step[T], client: Client, due: Operation | None = None) -> T | Error:
    """Do a step, each request by itself. due: its next operation, where it has begun."""
    try:
        operation = due or _next(step, None)
        while True:
            answer: Any
            try:
                answer = client.send(operation)
            except OF_ONE as error:
                answer = error
            operation = _next(step, answer)
    except StopIteration as done:
        result: T = done.value
        return result
    except OF_ONE as error:
        return error


def send_all(operations: Mapping[str, Operation], client: Client, context: Context) -> dict[str, Any]:
    """The answer, or the error, to each operation."""
    found: dict[str, Any] = {}
    for names in batched(operations, OPERATIONS):
        found |= _batch({name: operations[name] for name in names}, client, context)
    return found


def _batch(operations: Mapping[str, Operation], client: Client, context: Context) -> dict[str, Any]:
    numbers = {str(number): name for number, name in enumerate(operations)}
    try:
        started = client.start_batch([_row(number, operations[name]) for number, name in numbers.items()])
        rows = _results(_finished(started, client, context), client)
    except OF_ONE as error:
        # Nothing is known of any of them; all can be repeated.
        return {name: Uncertain(f"the batch was lost from sight: {error}") for name in operations}
    # The order means nothing: the operation ids do (note 4).
    found = {numbers[row["operation_id"]]: row for row in rows if row.get("operation_id") in numbers}
    return {name: _answer(found.get(name), operation) for name, operation in operations.items()}


def _row(number: str, operation: Operation) -> dict[str, Any]:
    body = {} if operation.body is None else {"body": orjson.dumps(operation.body).decode()}
    params = {"params": dict(operation.params)} if operation.params else {}
    return {"method": operation.method, "path": operation.path, "operation_id": number, **params, **body}


def _finished(batch: Mapping[str, Any], client: Client, context: Context) -> Mapping[str, Any]:
    """Wait for the batch: as it is once it is finished."""
    pause, waited = FIRST_LOOK, 0.0
    while batch.get("status") != "finished":
        if waited > PATIENCE:
            raise Uncertain(f"Mailchimp has not finished a batch within {PATIENCE / 60:.0f} minutes")
        context.sleep(pause)
        waited, pause = waited + pause, min(pause * 1.5, LONGEST_PAUSE)
        batch = client.batch(str(batch.get("id") or ""))
    return batch


def _results(batch: Mapping[str, Any], client: Client) -> list[Mapping[str, Any]]:
    """All rows of the result file. Its address is good for some minutes only: a fresh one is asked for once."""
    try:
        return unpacked(client.result(str(batch["response_body_url"])))
    except (Missing, Refused, Unauthorised):
        fresh = client.batch(str(batch["id"]))
        return unpacked(client.result(str(fresh["response_body_url"])))


def unpacked(data: bytes) -> list[Mapping[str, Any]]:
    """The rows of a gzipped tar of JSON files: {status_code, operation_id, response}."""
    rows: list[Mapping[str, Any]] = []
    try:
        with tarfile.open(fileobj=io.BytesIO(data), mode="r:gz") as archive:
            for entry in archive:
                file = archive.extractfile(entry) if entry.name.endswith(".json") else None
                if file is not None:
                    rows += json.load(file)
    except (tarfile.TarError, OSError, EOFError, ValueError) as broken:
        raise Uncertain(f"the results of a batch cannot be read ({type(broken).__name__})") from None
    return rows


def _answer(row: Mapping[str, Any] | None, operation: Operation) -> Any:
    """What one row of the results means: JSON, or the error by reaction."""
    if row is None:
        return Uncertain("Mailchimp's batch did not say what became of this")
    try:
        body = json.loads(row.get("response") or "null")
    except ValueError:
        body = None
    status = int(row.get("status_code") or 0)
    if status == 403 and body is None:
        return Throttled("Mailchimp: too many requests (HTTP 403 without a body, in a batch)")
    if not 200 <= status < 600:
        return Unreachable(f"Mailchimp's batch gave no answer (HTTP {status})")
    return judge(status, body, operation.path) or body
