# Girder with HistomicsUI and the plugin, and the worker that runs jobs for it: docker/compose.yml makes and uses it.
#   docker build -t histomics-deeplab-server -f docker/server.Dockerfile .
ARG BASE=python:3.11-slim-bookworm

FROM ${BASE} AS environment
# pylibtiff comes as source only.
RUN apt-get update \
 && apt-get install --yes --no-install-recommends gcc libc6-dev python3-dev \
 && rm -rf /var/lib/apt/lists/* /var/cache/apt/*
RUN python -m venv /opt/girder
COPY docker/local_stack/requirements.txt /src/
RUN /opt/girder/bin/pip install --no-cache-dir -r /src/requirements.txt
# The client makes a layer of its own, without what only its making needs. npm trusts whom Debian trusts.
COPY docker/local_stack/build_client /src/
RUN NODE_EXTRA_CA_CERTS=/etc/ssl/certs/ca-certificates.crt /src/build_client /opt/girder \
 && /opt/girder/bin/pip uninstall --yes --quiet nodejs-bin \
 && find /opt/girder -type d -name node_modules -prune -exec rm -rf {} + \
 && rm -rf /root/.npm
COPY docker/site/worker.local.cfg /src/
RUN cp /src/worker.local.cfg /opt/girder/lib/python3*/site-packages/girder_worker/
COPY plugin /src/plugin
RUN /opt/girder/bin/pip install --no-cache-dir --no-deps --no-build-isolation /src/plugin

FROM ${BASE}
# libtiff is what the TIFF reader calls; all other libraries come inside wheels.
RUN apt-get update \
 && apt-get install --yes --no-install-recommends libtiff6 \
 && rm -rf /var/lib/apt/lists/* /var/cache/apt/*
COPY --from=environment /opt/girder /opt/girder
COPY docker/local_stack /opt/site/local_stack
COPY docker/site/girder.cfg /opt/site/
COPY docker/site/as_site_user /usr/local/bin/
ENV PATH=/opt/girder/bin:$PATH \
    PYTHONPATH=/opt/site \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    GIRDER_CONFIG=/opt/site/girder.cfg \
    HOME=/tmp \
    DEEPLAB_USER=1000:1000
LABEL description="Girder with HistomicsUI and the DeepLab plugin, and its worker"
# It starts as root, to find the group that may use Docker, and runs nothing of the site as root.
ENTRYPOINT ["as_site_user"]
CMD ["girder", "serve"]
