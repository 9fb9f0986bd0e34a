# One image for all dataflows: deploy/run.sh says which of them a container runs.

FROM python:3.12.15-slim-trixie AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
COPY requirements-build.txt requirements-run.txt /locks/
RUN pip install --require-hashes --only-binary :all: -r /locks/requirements-build.txt
# Without pip: nothing is installed into a running container.
RUN python -m venv --without-pip /opt/venv
RUN pip --python /opt/venv/bin/python install --require-hashes --only-binary :all: \
        -r /locks/requirements-run.txt
WORKDIR /source
COPY pyproject.toml setup.py README.md LICENSE instruments.toml ./
COPY candlewax candlewax
COPY clickhouse clickhouse
COPY dataflows dataflows
RUN pip wheel --no-index --no-deps --no-build-isolation --wheel-dir /wheel .
RUN pip --python /opt/venv/bin/python install --no-index --no-deps /wheel/*.whl
RUN pip --python /opt/venv/bin/python check

FROM python:3.12.15-slim-trixie
RUN groupadd --gid 10001 candlewax \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /tmp candlewax \
    && install --directory --owner 10001 --group 10001 /recovery /catalog
COPY --from=build /opt/venv /opt/venv
WORKDIR /app
COPY deploy/run.sh deploy/healthy.py deploy/
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    RECOVERY=/recovery
USER 10001:10001
ENTRYPOINT ["sh", "deploy/run.sh"]
