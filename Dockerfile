# CentiPET as a BIDS-App: any user, read-only root, no network, nothing needed below HOME.
# The base is plain Debian so that the same image can be made where no registry is in reach.

FROM debian:bookworm-slim AS build
RUN apt-get update \
 && apt-get install -y --no-install-recommends ca-certificates python3.11-venv \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY requirements-build.lock requirements.lock ./
# Source packages are built with the pinned tools, not with whatever is newest today.
RUN python3.11 -m venv /opt/build \
 && /opt/build/bin/pip install --no-cache-dir --require-hashes -r requirements-build.lock \
 && /opt/build/bin/pip wheel --no-cache-dir --no-deps --no-build-isolation --require-hashes \
      -r requirements.lock -w /wheels
COPY . .
RUN /opt/build/bin/pip wheel --no-deps --no-build-isolation -w /wheels . \
 && python3.11 -m venv --without-pip /opt/centipet \
 && /opt/build/bin/pip --python /opt/centipet/bin/python install \
      --no-cache-dir --no-index --no-deps /wheels/*.whl \
 && /opt/centipet/bin/python -c 'import bidsapp; print(bidsapp.__version__)' > /version

FROM debian:bookworm-slim
ARG VERSION=0.2.0.dev0
LABEL org.opencontainers.image.title="CentiPET" \
      org.opencontainers.image.description="BIDS-App from amyloid-PET DICOM to Centiloid" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.licenses="Apache-2.0 AND BSD-3-Clause AND GPL-3.0-only AND MIT AND MPL-2.0 AND LicenseRef-FreeSurfer" \
      org.opencontainers.image.authors="The CentiPET developers" \
      org.opencontainers.image.base.name="debian:bookworm-slim"
RUN apt-get update \
 && apt-get install -y --no-install-recommends ca-certificates python3.11 \
 && rm -rf /var/lib/apt/lists/*
COPY --from=build /opt/centipet /opt/centipet
COPY --from=build /version /version
# /data and /out: where a read-only image is mounted on itself, places to bind to must be there.
COPY .ci/sbom.py /opt/centipet/share/sbom.py
RUN PYTHONDONTWRITEBYTECODE=1 /opt/centipet/bin/python /opt/centipet/share/sbom.py > /sbom.json \
 && mkdir /data /out
# HOME: pybids dies without one. Threads: processes share the cores, see --nprocs.
# ET: nipype's check for updates, which has no network to ask.
ENV HOME=/tmp \
    PATH=/opt/centipet/bin:/usr/local/bin:/usr/bin:/bin \
    LANG=C.UTF-8 \
    PYTHONNOUSERSITE=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    OMP_NUM_THREADS=1 \
    OPENBLAS_NUM_THREADS=1 \
    NO_ET=1 \
    NIPYPE_NO_ET=1
WORKDIR /tmp
ENTRYPOINT ["/opt/centipet/bin/centipet"]
