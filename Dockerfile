# One image for the three dataflows: deploy/run.sh says which of them a container runs.

FROM python:3.12.15-slim-trixie AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
RUN python -m venv /opt/venv
COPY requirements.txt /tmp/
RUN /opt/venv/bin/pip install --require-hashes --only-binary :all: -r /tmp/requirements.txt
WORKDIR /app
COPY pyproject.toml README.md LICENSE ./
COPY candlewax candlewax
COPY dataflows dataflows
# Editable, so that the code stands where its clickhouse/ddl and instruments.toml stand.
# What is there for tests and builds goes, pip the last.
RUN /opt/venv/bin/pip install --no-deps --no-build-isolation --editable . \
    && /opt/venv/bin/pip uninstall --yes --quiet ast-serialize greenlet hypothesis iniconfig librt \
        mypy mypy-extensions pathspec playwright pluggy pytest ruff setuptools sortedcontainers pip \
    && rm -rf *.egg-info build

FROM python:3.12.15-slim-trixie
RUN groupadd --gid 10001 candlewax \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /tmp candlewax \
    && install --directory --owner 10001 --group 10001 /recovery /catalog
COPY --from=build /opt/venv /opt/venv
COPY --from=build /app /app
WORKDIR /app
COPY instruments.toml ./
COPY clickhouse clickhouse
COPY deploy/run.sh deploy/healthy.py deploy/
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    RECOVERY=/recovery
USER 10001:10001
ENTRYPOINT ["sh", "deploy/run.sh"]
