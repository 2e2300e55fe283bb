# The stand-in for services of Nova that docker/compose.sample.yml starts.
FROM debian:trixie-slim
COPY sample-service.pl /usr/local/bin/sample-service
USER nobody
ENTRYPOINT ["sample-service"]
