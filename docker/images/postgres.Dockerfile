# PostgreSQL 17 with pgvector of Debian's own packages: for where pgvector/pgvector:pg17 cannot be pulled, under the same
# name. It knows what docker/compose.yml uses of that image: POSTGRES_USER, POSTGRES_PASSWORD, POSTGRES_DB, PGDATA. It runs
# no scripts of /docker-entrypoint-initdb.d.
FROM debian:trixie-slim
LABEL org.opencontainers.image.description="Debian's PostgreSQL 17 with pgvector; made by cargo xtask images, not the image of the pgvector project"
# No cluster of Debian's own.
RUN mkdir -p /etc/postgresql-common \
    && echo 'create_main_cluster = false' > /etc/postgresql-common/createcluster.conf \
    && apt-get update \
    && apt-get install -y --no-install-recommends postgresql-17 postgresql-17-pgvector \
    && apt-get clean \
    && rm -rf /var/lib/apt/lists/* \
    && install -d -o postgres -g postgres -m 0700 /var/lib/postgresql/data
ENV PATH=/usr/lib/postgresql/17/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    PGDATA=/var/lib/postgresql/data LANG=C.UTF-8
COPY postgres-entrypoint.sh /usr/local/bin/entrypoint
VOLUME /var/lib/postgresql/data
EXPOSE 5432
# Sessions are ended and everything is written, without waiting for clients to leave.
STOPSIGNAL SIGINT
ENTRYPOINT ["entrypoint"]
CMD ["postgres"]
