# Redis of Debian's own packages: for where redis:8 cannot be pulled, under the same name.
FROM debian:trixie-slim
LABEL org.opencontainers.image.description="Debian's Redis 8; made by cargo xtask images, not the image of the Redis project"
RUN apt-get update \
    && apt-get install -y --no-install-recommends redis-server \
    && apt-get clean \
    && rm -rf /var/lib/apt/lists/* \
    && install -d -o redis -g redis /data
WORKDIR /data
VOLUME /data
EXPOSE 6379
USER redis
# Without the network that Compose makes nobody could reach it otherwise; nothing is published.
CMD ["redis-server", "--bind", "*", "--protected-mode", "no", "--dir", "/data"]
