# The image of all Slicer CLI tasks.
#   docker build -t histomics-deeplab .                            on a CPU (default)
#   docker build -t histomics-deeplab --build-arg DEVICE=gpu .     with TensorFlow for NVIDIA GPUs
ARG DEVICE=cpu
ARG BASE=python:3.11-slim-bookworm

FROM ${BASE} AS dependencies
ARG DEVICE
# pylibtiff comes as source only.
RUN apt-get update \
 && apt-get install --yes --no-install-recommends gcc libc6-dev python3-dev \
 && rm -rf /var/lib/apt/lists/* /var/cache/apt/*
RUN python -m venv /opt/venv && /opt/venv/bin/pip install --no-cache-dir "setuptools>=77"
WORKDIR /src
# The dependencies make a stage and a layer of their own, which stay while only our code changes.
COPY setup.py pyproject.toml ./
COPY deeplab/__init__.py deeplab/
RUN touch README.md && mkdir -p cli slicer_cli_spec \
 && /opt/venv/bin/pip install --no-cache-dir ".[${DEVICE}]" \
 # It requires gdal, mapnik and dask, which nothing that we call of it needs.
 && /opt/venv/bin/pip install --no-cache-dir --no-deps histomicstk==1.4.0 \
 && /opt/venv/bin/pip uninstall --yes --quiet histomics-deeplab \
 # OpenVINO requires it to tell its maker of every conversion, and does without it.
 && /opt/venv/bin/pip uninstall --yes --quiet openvino-telemetry \
 # TensorFlow's C++ headers (0.3 GB) only serve those who build upon it.
 && rm -rf /opt/venv/lib/python3*/site-packages/tensorflow/include build

FROM dependencies AS wheel
COPY README.md ./
COPY deeplab deeplab
COPY cli cli
COPY slicer_cli_spec slicer_cli_spec
RUN /opt/venv/bin/pip wheel --no-cache-dir --no-deps --no-build-isolation --wheel-dir /wheel .

FROM ${BASE} AS run-cpu
# libtiff is what the TIFF reader calls; all other libraries come inside wheels.
RUN apt-get update \
 && apt-get install --yes --no-install-recommends libtiff6 \
 && rm -rf /var/lib/apt/lists/* /var/cache/apt/*
# Nothing need be written outside /tmp, so that any user and a read-only root will do:
#   docker run --user 1000:1000 --read-only --tmpfs /tmp ...
# The default user stays root: girder_worker hands the container a folder that only its owner may enter.
ENV PATH=/opt/venv/bin:$PATH \
    HOME=/tmp \
    XDG_CACHE_HOME=/tmp/.cache \
    DEEPLAB_CACHE=/opt/deeplab-cache \
    MPLCONFIGDIR=/tmp/.matplotlib \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    TF_CPP_MIN_LOG_LEVEL=2 \
    TF_ENABLE_ONEDNN_OPTS=1
LABEL description="Whole-slide segmentation for HistomicsUI, and what goes with it: training, averaging, annotations in and out, features, evaluation"

FROM run-cpu AS run-gpu
# girder_worker gives a container with this label all GPUs.
LABEL com.nvidia.volumes.needed="nvidia_driver"

FROM run-${DEVICE}
COPY --from=dependencies /opt/venv /opt/venv
COPY --from=wheel /wheel /wheel
COPY docker/smoke_test.py /opt/smoke_test.py
# The stock Slicer entry point expects <folder>/<Task>/<Task>.py and the list beside them.
# A broken image is not built: the smoke test asks for the list and each form, and segments a slide.
# It leaves the models that ship in the image converted, so that no container converts them again.
RUN pip install --no-cache-dir --no-deps /wheel/*.whl \
 && mkdir /opt/tasks && cd /opt/tasks \
 && site=$(echo /opt/venv/lib/python3*/site-packages/deeplab_cli) \
 && find "$site" -mindepth 1 -maxdepth 1 -type d -name "[A-Z]*" -exec ln -s {} . \; \
 && ln -s "$site/specs/slicer_cli_list.json" . \
 && mkdir --mode=777 "$DEEPLAB_CACHE" \
 && python /opt/smoke_test.py \
 && chown -R root:root "$DEEPLAB_CACHE" && chmod 755 "$DEEPLAB_CACHE" \
 && find /tmp -mindepth 1 -delete
WORKDIR /opt/tasks
# The exec form makes Python process 1, so that a cancelled job's SIGTERM reaches it.
ENTRYPOINT ["deeplab"]
