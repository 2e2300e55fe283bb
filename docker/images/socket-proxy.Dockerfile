# A proxy before the engine's socket that lets through what the recovery service's watching and restarting takes.
FROM debian:trixie-slim
RUN apt-get update \
    && apt-get install -y --no-install-recommends haproxy \
    && apt-get clean \
    && rm -rf /var/lib/apt/lists/*
COPY socket-proxy.cfg /etc/haproxy/haproxy.cfg
EXPOSE 2375
CMD ["haproxy", "-f", "/etc/haproxy/haproxy.cfg"]
