# Concord in a container. Everything of its own is in the volume /data: the database, and the key of the credentials
# unless CONCORD_SECRETS_KEYS brings it.
#
#   docker build -t concord .
#   docker run -d --name concord -v concord:/data -p 127.0.0.1:8420:8420 -e CONCORD_REGION=DE concord
#   docker exec -it concord concord users add ann --role admin

FROM python:3.13-slim AS build
ENV UV_PROJECT_ENVIRONMENT=/opt/concord \
    UV_PYTHON_DOWNLOADS=never \
    UV_LINK_MODE=copy \
    UV_COMPILE_BYTECODE=1
RUN pip install --no-cache-dir uv==0.13.9
WORKDIR /src
# The dependencies change seldom, and are a layer of their own.
COPY pyproject.toml uv.lock ./
RUN uv sync --locked --no-dev --extra otel --no-install-project
COPY README.md LICENSE ./
COPY app ./app
COPY connectors ./connectors
COPY migrations ./migrations
RUN uv sync --locked --no-dev --extra otel --no-editable

FROM python:3.13-slim
RUN useradd --system --uid 10001 --home-dir /data --no-create-home concord \
    && install --directory --owner=concord --mode=0700 /data
COPY --from=build /opt/concord /opt/concord
ENV PATH=/opt/concord/bin:$PATH \
    CONCORD_HOME=/data \
    CONCORD_LOG_FORMAT=json \
    PYTHONUNBUFFERED=1
USER concord
VOLUME /data
EXPOSE 8420
# Of a container that does something else ("worker"), switch it off: --no-healthcheck.
HEALTHCHECK --interval=1m --timeout=20s --start-period=30s CMD ["python", "-c", \
    "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8420/healthz', timeout=15)"]
ENTRYPOINT ["concord"]
CMD ["serve", "--host", "0.0.0.0"]
