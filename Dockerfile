# The program in a container, for the CPU; EXTRA=cuda13, cuda12 or tpu for accelerators:
#   docker build --tag=difnas_jax .
#   docker build --tag=difnas_jax:cuda13 --build-arg=EXTRA=cuda13 .
#   mkdir -p runs
#   docker run --rm --user="$(id -u)" --volume="$PWD/runs:/runs" difnas_jax \
#       --config=digits --workdir=demo
# With --gpus=all and --shm-size=8g it computes on GPUs, with worker processes.
FROM python:3.12.12-slim-bookworm AS wheel
WORKDIR /source
COPY . .
RUN pip wheel --no-cache-dir --no-deps --wheel-dir=/wheels .

FROM python:3.12.12-slim-bookworm
ARG EXTRA=
RUN --mount=type=bind,from=wheel,source=/wheels,target=/wheels \
    pip install --no-cache-dir "$(echo /wheels/*.whl)${EXTRA:+[${EXTRA}]}"
RUN useradd --uid=1000 difnas && install --directory --mode=1777 /runs
USER 1000
WORKDIR /runs
# That of --user has no other: compiled programs, caches of libraries.
ENV HOME=/tmp
# Memory of the host in huge pages.
ENV GLIBC_TUNABLES=glibc.malloc.hugetlb=1
ENTRYPOINT ["difnas-jax"]
