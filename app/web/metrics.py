"""Numbers for Prometheus at /metrics."""

from __future__ import annotations

from fastapi import APIRouter, Response

from app.jobs.metrics import CONTENT_TYPE, Metrics
from app.store.store import Store


def router(store: Store) -> APIRouter:
    """The route. It tells names of connections and numbers, never anything of a person; who must not know them is kept
    away by the proxy, as is usual for /metrics."""
    metrics = Metrics(store)
    api = APIRouter(tags=["health"], include_in_schema=False)

    @api.get("/metrics")
    def tell() -> Response:
        return Response(metrics.render(), media_type=CONTENT_TYPE)

    return api
