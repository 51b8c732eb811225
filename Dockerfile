# The API and the workers of docker-compose.yml. `docker build --build-arg EXTRAS=server .` leaves torch out.
FROM python:3.12-slim
ARG EXTRAS=workers,frames
WORKDIR /app
COPY pyproject.toml README.md LICENSE ./
COPY rosetta rosetta
COPY service service
COPY workers workers
COPY migrations migrations
RUN pip install --no-cache-dir ".[${EXTRAS}]" \
 && useradd --create-home rosetta \
 && mkdir /data && chown rosetta /data
USER rosetta
EXPOSE 8000
CMD ["rosetta", "--help"]
