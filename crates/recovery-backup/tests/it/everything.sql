-- One of nearly everything that PostgreSQL can keep in a database. Run in a fresh database by a superuser.
\set ON_ERROR_STOP on
SET client_min_messages = warning;

CREATE ROLE "nova app" NOLOGIN;
CREATE ROLE reporting NOLOGIN;
CREATE ROLE "Ünïcode ""röle""" NOLOGIN;

CREATE EXTENSION hstore;
CREATE EXTENSION pg_trgm;
CREATE SCHEMA fuzzy AUTHORIZATION "nova app";
CREATE EXTENSION fuzzystrmatch SCHEMA fuzzy;
COMMENT ON EXTENSION hstore IS 'keys and values';

CREATE SCHEMA "Größe & Co";
CREATE SCHEMA "with.dot";
COMMENT ON SCHEMA "Größe & Co" IS 'a comment with ''quotes'' and a newline
in it';

-- Types
CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy');
ALTER TYPE mood ADD VALUE 'ecstatic' AFTER 'happy';
CREATE DOMAIN positive AS integer CHECK (VALUE > 0) DEFAULT 1;
CREATE TYPE money_range AS RANGE (subtype = numeric);
CREATE TYPE point3 AS (x float8, y float8, z float8);
CREATE COLLATION "Ordnung" (provider = libc, locale = 'C');

-- Tables with odd names and columns
CREATE TABLE "Größe & Co"."Tabelle ""mit"" allem" (
    "Schlüssel" bigint GENERATED ALWAYS AS IDENTITY (START 100 INCREMENT 10) PRIMARY KEY,
    "select" text COLLATE "Ordnung" NOT NULL DEFAULT 'x',
    doubled bigint GENERATED ALWAYS AS ("Schlüssel" * 2) STORED,
    "Stimmung" mood,
    "wie viele" positive,
    spans money_range,
    place point3,
    tags hstore,
    list text[],
    document jsonb,
    raw bytea,
    at timestamptz DEFAULT '2026-01-01 00:00+00'
);
INSERT INTO "Größe & Co"."Tabelle ""mit"" allem" ("select", "Stimmung", "wie viele", spans, place, tags, list, document, raw)
SELECT 'row ' || i || E'\t\\ \n ü', (ARRAY['sad', 'ok', 'happy', 'ecstatic']::mood[])[1 + i % 4], i, money_range(i, i + 1),
    ROW (i, i / 3.0, 'NaN')::point3, hstore('n', i::text), ARRAY['a', NULL, '{"' || i], jsonb_build_object('n', i),
    decode(md5(i::text), 'hex')
FROM generate_series(1, 500) i;
CREATE TABLE "with.dot"."a.b" (id int PRIMARY KEY);
INSERT INTO "with.dot"."a.b" VALUES (1), (2);
CREATE TABLE "line
break" (id int);
INSERT INTO "line
break" VALUES (7);
CREATE TABLE no_columns ();
INSERT INTO no_columns DEFAULT VALUES;
CREATE TABLE empty_table (id int, gone text);
ALTER TABLE empty_table DROP COLUMN gone;

-- A cycle of foreign keys, and a table that refers to itself
CREATE TABLE chicken (id int PRIMARY KEY, egg int);
CREATE TABLE egg (id int PRIMARY KEY, chicken int REFERENCES chicken DEFERRABLE INITIALLY DEFERRED);
ALTER TABLE chicken ADD CONSTRAINT laid FOREIGN KEY (egg) REFERENCES egg DEFERRABLE INITIALLY DEFERRED;
BEGIN;
INSERT INTO chicken SELECT i, i FROM generate_series(1, 50) i;
INSERT INTO egg SELECT i, i FROM generate_series(1, 50) i;
COMMIT;
CREATE TABLE tree (id int PRIMARY KEY, parent int REFERENCES tree ON DELETE CASCADE);
INSERT INTO tree SELECT i, nullif(i / 2, 0) FROM generate_series(1, 100) i;
ALTER TABLE tree ADD CONSTRAINT later CHECK (id < 1000) NOT VALID;
ALTER TABLE tree REPLICA IDENTITY FULL;

-- Partitions, inheritance, unlogged
CREATE TABLE events (id bigint, at date NOT NULL, body text) PARTITION BY RANGE (at);
CREATE TABLE events_2025 PARTITION OF events FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
CREATE TABLE events_2026 PARTITION OF events FOR VALUES FROM ('2026-01-01') TO ('2027-01-01') PARTITION BY HASH (id);
CREATE TABLE events_2026_0 PARTITION OF events_2026 FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE events_2026_1 PARTITION OF events_2026 FOR VALUES WITH (MODULUS 2, REMAINDER 1);
CREATE TABLE events_rest PARTITION OF events DEFAULT;
CREATE INDEX ON events (id);
INSERT INTO events SELECT i, date '2024-12-01' + i, repeat('e', i % 50) FROM generate_series(1, 900) i;
CREATE TABLE animal (name text);
CREATE TABLE dog (barks bool) INHERITS (animal);
INSERT INTO animal VALUES ('cat');
INSERT INTO dog VALUES ('rex', true), ('fido', false);
CREATE UNLOGGED TABLE scratchpad AS SELECT i, md5(i::text) AS hash FROM generate_series(1, 300) i;

-- Sequences, views, rules, statistics, indexes
CREATE SEQUENCE countdown INCREMENT -3 MINVALUE -1000 MAXVALUE 90 START 90 CYCLE CACHE 5;
SELECT nextval('countdown'), nextval('countdown');
CREATE TABLE owns_sequence (id serial, note text);
INSERT INTO owns_sequence (note) SELECT 'n' FROM generate_series(1, 42);
CREATE VIEW moods WITH (security_barrier) AS
    SELECT "Stimmung", count(*) AS n FROM "Größe & Co"."Tabelle ""mit"" allem" GROUP BY 1;
CREATE MATERIALIZED VIEW mood_counts AS SELECT * FROM moods WITH DATA;
CREATE UNIQUE INDEX ON mood_counts ("Stimmung");
CREATE MATERIALIZED VIEW not_yet AS SELECT 1 AS one WITH NO DATA;
CREATE VIEW recursive_tree AS WITH RECURSIVE t AS (SELECT id FROM tree WHERE parent IS NULL UNION SELECT c.id FROM tree c JOIN t ON c.parent = t.id) SELECT * FROM t;
CREATE RULE quiet AS ON DELETE TO no_columns DO INSTEAD NOTHING;
CREATE STATISTICS tree_statistics (dependencies) ON id, parent FROM tree;
CREATE INDEX trigrams ON "Größe & Co"."Tabelle ""mit"" allem" USING gin ("select" gin_trgm_ops);
CREATE INDEX partial ON tree (parent DESC NULLS LAST) INCLUDE (id) WHERE parent > 10;
CREATE TABLE bookings (room int, during tstzrange, EXCLUDE USING gist (during WITH &&));
INSERT INTO bookings VALUES (1, '[2026-01-01,2026-01-02)');
CLUSTER tree USING tree_pkey;

-- Functions, triggers, event triggers, aggregates, operators, casts
CREATE FUNCTION bark(IN loud bool DEFAULT true, OUT noise text, OUT times int) LANGUAGE plpgsql IMMUTABLE AS $body$
BEGIN noise := CASE WHEN loud THEN 'WUFF $1' ELSE 'wuff' END; times := 2; END $body$;
CREATE PROCEDURE do_nothing() LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog BEGIN ATOMIC SELECT 1; END;
CREATE FUNCTION stamp() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.body := NEW.body || '!'; RETURN NEW; END $$;
CREATE TRIGGER stamped BEFORE UPDATE OF body ON events FOR EACH ROW WHEN (OLD.id IS NOT NULL) EXECUTE FUNCTION stamp();
CREATE TRIGGER never BEFORE INSERT ON events_2025 FOR EACH ROW EXECUTE FUNCTION stamp();
ALTER TABLE events_2025 DISABLE TRIGGER never;
CREATE FUNCTION guard() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN
    IF current_setting('nova.frozen', true) = 'on' THEN RAISE EXCEPTION 'the schema is frozen'; END IF;
END $$;
CREATE EVENT TRIGGER no_change ON ddl_command_start EXECUTE FUNCTION guard();
CREATE AGGREGATE longest (text) (SFUNC = pg_catalog.text_larger, STYPE = text);
CREATE FUNCTION near(point3, point3) RETURNS bool LANGUAGE sql IMMUTABLE AS 'SELECT ($1).x = ($2).x';
CREATE OPERATOR ~~~ (LEFTARG = point3, RIGHTARG = point3, FUNCTION = near, COMMUTATOR = ~~~);
CREATE FUNCTION to_mood(int) RETURNS mood LANGUAGE sql IMMUTABLE AS $$ SELECT 'ok'::mood $$;
CREATE CAST (int AS mood) WITH FUNCTION to_mood(int) AS ASSIGNMENT;
CREATE TEXT SEARCH CONFIGURATION nova_search (COPY = simple);

-- Row-level security and privileges
CREATE TABLE secrets (id int PRIMARY KEY, owner text, value text);
INSERT INTO secrets SELECT i, 'somebody', md5(i::text) FROM generate_series(1, 25) i;
ALTER TABLE secrets ENABLE ROW LEVEL SECURITY;
ALTER TABLE secrets FORCE ROW LEVEL SECURITY;
CREATE POLICY own ON secrets AS RESTRICTIVE FOR SELECT TO reporting, "Ünïcode ""röle""" USING (owner = current_user);
ALTER TABLE secrets OWNER TO "nova app";
GRANT SELECT (id, owner) ON secrets TO reporting WITH GRANT OPTION;
REVOKE ALL ON FUNCTION bark FROM PUBLIC;
GRANT EXECUTE ON FUNCTION bark TO "Ünïcode ""röle""";
GRANT USAGE ON SCHEMA "Größe & Co" TO reporting;
ALTER DEFAULT PRIVILEGES FOR ROLE "nova app" IN SCHEMA fuzzy GRANT SELECT ON TABLES TO reporting;
ALTER TYPE mood OWNER TO reporting;

-- Large objects
SELECT lo_from_bytea(424242, decode(repeat('00ff', 50000), 'hex'));
COMMENT ON LARGE OBJECT 424242 IS 'a picture';
GRANT SELECT ON LARGE OBJECT 424242 TO reporting;
SELECT lo_from_bytea(424243, 'small');

-- Replication and foreign data
CREATE PUBLICATION partly FOR TABLE tree (id), chicken WHERE (id > 5);
CREATE PUBLICATION whole FOR TABLES IN SCHEMA "with.dot" WITH (publish = 'insert');
CREATE EXTENSION postgres_fdw;
CREATE SERVER elsewhere FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host '127.0.0.1', dbname 'none', port '1');
CREATE USER MAPPING FOR reporting SERVER elsewhere OPTIONS (user 'x', password 'y');
CREATE FOREIGN TABLE far_away (id int) SERVER elsewhere;

COMMENT ON TABLE tree IS 'grows';
COMMENT ON COLUMN tree.parent IS NULL;
COMMENT ON CONSTRAINT laid ON chicken IS 'which came first?';

-- What belongs to the database itself
DO $$
DECLARE this text := quote_ident(current_database());
BEGIN
    EXECUTE format('COMMENT ON DATABASE %s IS %L', this, 'the only copy, isn''t it?');
    EXECUTE format('ALTER DATABASE %s SET search_path TO "$user", public, "Größe & Co"', this);
    EXECUTE format('ALTER DATABASE %s SET work_mem TO ''12MB''', this);
    EXECUTE format('ALTER DATABASE %s SET "nova.motto" TO %L', this, 'it''s "odd", isn''t it');
    EXECUTE format('ALTER ROLE reporting IN DATABASE %s SET statement_timeout TO ''3s''', this);
    EXECUTE format('ALTER ROLE "Ünïcode ""röle""" IN DATABASE %s SET search_path TO ''with.dot''', this);
    EXECUTE format('REVOKE CONNECT, TEMPORARY ON DATABASE %s FROM PUBLIC', this);
    EXECUTE format('GRANT CONNECT ON DATABASE %s TO reporting WITH GRANT OPTION', this);
    EXECUTE format('GRANT CREATE ON DATABASE %s TO "nova app"', this);
    EXECUTE format('ALTER DATABASE %s CONNECTION LIMIT 77', this);
    EXECUTE format('ALTER DATABASE %s OWNER TO "nova app"', this);
END $$;
ANALYZE;
