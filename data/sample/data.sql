-- Rows for the sample schema: the same ones at every run, made by the server.
--
--   psql -v scale=1 -f schema.sql -f data.sql     about 200 MB; the size grows in proportion to `scale`
--
-- Text and vectors are slices of two pools that are made once: cheap to make, hard to compress beyond what real
-- text and real vectors give.

\set ON_ERROR_STOP on
\set QUIET on
SET synchronous_commit = off;
SET work_mem = '64MB';
SET maintenance_work_mem = '256MB';
SET client_min_messages = warning;

SELECT greatest(20, (600 * :scale)::int) AS conversations,
       greatest(200, (57000 * :scale)::int) AS messages,
       greatest(100, (18000 * :scale)::int) AS engrams,
       greatest(300, (60000 * :scale)::int) AS edges,
       greatest(300, (150000 * :scale)::int) AS usage_events,
       greatest(50, (3000 * :scale)::int) AS tasks,
       greatest(50, (4500 * :scale)::int) AS pages,
       greatest(50, (9000 * :scale)::int) AS cached
\gset

-- A number below `n` that depends on `i` and `salt` only.
CREATE FUNCTION pg_temp.pick(i bigint, salt bigint, n bigint) RETURNS bigint
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $$ SELECT (hashint8extended(i, salt) & 9223372036854775807) % n $$;

CREATE FUNCTION pg_temp.id(kind text, i bigint) RETURNS uuid
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $$ SELECT md5(kind || i)::uuid $$;

CREATE FUNCTION pg_temp.at(i bigint) RETURNS timestamptz
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $$ SELECT '2026-01-01 00:00:00+00'::timestamptz + make_interval(secs => i * 97 % 20000000) $$;

-- `low` to `high` characters of prose.
CREATE FUNCTION pg_temp.prose(pool bytea, i bigint, salt bigint, low int, high int) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $$
        SELECT convert_from(
            substring(pool FROM 1 + pg_temp.pick(i, salt, 990000)::int
                           FOR low + pg_temp.pick(i, salt + 1, high - low)::int), 'UTF8')
    $$;

CREATE TEMPORARY TABLE pools AS
    SELECT
        (SELECT convert_to(left(string_agg(words.list[1 + pg_temp.pick(i, 1, 120)], ' ' ORDER BY i), 1000000), 'UTF8')
         FROM generate_series(1, 170000) i,
              (SELECT array_agg(substr(translate(md5(w::text), '0123456789', 'etaoinshrl'), 1, 2 + w % 9)) AS list
               FROM generate_series(1, 120) w) words) AS prose,
        (SELECT array_agg((pg_temp.pick(i, 2, 2000000) / 1000000.0 - 1)::real ORDER BY i)
         FROM generate_series(1, 65536) i) AS floats,
        (SELECT string_agg(sha256(convert_to(i::text, 'UTF8')), ''::bytea ORDER BY i)
         FROM generate_series(1, 8192) i) AS noise;

-- The pools as plain values: read out of the table anew, they would be decompressed for every row.
CREATE VIEW pg_temp.pool AS
    SELECT prose || ''::bytea AS prose, floats || '{}'::real[] AS floats, noise || ''::bytea AS noise
    FROM pools OFFSET 0;

BEGIN;

INSERT INTO schema_migrations SELECT to_char(i, 'FM000') || '_sample', pg_temp.at(i) FROM generate_series(1, 86) i;
INSERT INTO tenants VALUES (pg_temp.id('tenant', 1), 'default', '2026-01-01');
INSERT INTO users
    SELECT pg_temp.id('user', i), pg_temp.id('tenant', 1), 'user' || i || '@example.org', 'User ' || i,
           md5('password' || i), i = 1, jsonb_build_object('theme', 'dark', 'tips', i % 2 = 0), pg_temp.at(i)
    FROM generate_series(1, 40) i;
INSERT INTO refresh_tokens
    SELECT pg_temp.id('token', i), pg_temp.id('user', 1 + i % 40), sha256(convert_to('token' || i, 'UTF8')), '2027-01-01'
    FROM generate_series(1, 120) i;
INSERT INTO invite_codes SELECT 'NOVA-' || i, pg_temp.id('user', 1), NULL, '2027-01-01' FROM generate_series(1, 5) i;
INSERT INTO rbac_audit_log (actor_id, action, at)
    SELECT pg_temp.id('user', 1), 'role.grant', pg_temp.at(i) FROM generate_series(1, 30) i;
INSERT INTO audit_log (user_id, action, resource, detail, client, at)
    SELECT pg_temp.id('user', 1 + i % 40), 'read', '/api/v1/tasks/' || i, jsonb_build_object('status', 200),
           '192.168.1.1'::inet + i % 200, pg_temp.at(i)
    FROM generate_series(1, :tasks * 4) i;
INSERT INTO api_keys
    SELECT pg_temp.id('key', i), pg_temp.id('user', i), 'key ' || i, sha256(convert_to('key' || i, 'UTF8')),
           '{chat,tasks}', NULL
    FROM generate_series(1, 20) i;
INSERT INTO linked_accounts
    SELECT pg_temp.id('link', i), pg_temp.id('user', i), 'telegram', (7000000 + i)::text, pg_temp.at(i)
    FROM generate_series(1, 10) i;

INSERT INTO platform_config (key, value, description, is_secret, updated_at) VALUES
    ('auth.jwt_secret', to_jsonb(encode(sha256('sample jwt secret'), 'hex')), 'Signs access tokens', true, '2026-01-01'),
    ('auth.require', 'true', 'Whether requests need a token', false, '2026-01-01'),
    ('inference.backend', '"ollama"', 'The local inference backend', false, '2026-01-01'),
    ('llm.routing', '{"strategy": "local-first", "fallback": ["cloud"]}', NULL, false, '2026-01-01');
INSERT INTO platform_config_audit (key, old_value, new_value, changed_by, changed_at)
    SELECT 'auth.require', 'false', 'true', pg_temp.id('user', 1), pg_temp.at(i) FROM generate_series(1, 12) i;
INSERT INTO platform_secrets SELECT 'provider-' || i, sha256(convert_to('s' || i, 'UTF8')) FROM generate_series(1, 4) i;
INSERT INTO capability_credentials
    SELECT pg_temp.id('credential', i), 'credential ' || i, 'github', sha256(convert_to('c' || i, 'UTF8'))
    FROM generate_series(1, 4) i;
INSERT INTO capability_credential_audit (credential_id, action)
    SELECT pg_temp.id('credential', 1 + i % 4), 'use' FROM generate_series(1, 40) i;
INSERT INTO capability_audit (capability, allowed) SELECT 'shell', i % 7 > 0 FROM generate_series(1, 200) i;
INSERT INTO consent_rules SELECT pg_temp.id('consent', i), 'capability ' || i, 'ask' FROM generate_series(1, 6) i;
INSERT INTO feature_flags SELECT 'flag-' || i, i % 2 = 0, i / 10.0 FROM generate_series(1, 10) i;
INSERT INTO feature_flag_audit (flag, enabled) SELECT 'flag-' || i, true FROM generate_series(1, 10) i;
INSERT INTO pods SELECT pg_temp.id('pod', i), 'pod ' || i, 'A quartet', '{"timeout": 300}' FROM generate_series(1, 5) i;
INSERT INTO pod_agents
    SELECT pg_temp.id('agent', i), pg_temp.id('pod', 1 + i % 5), 'role ' || i, i / 5, NULL, 'Do the work.'
    FROM generate_series(0, 19) i;
INSERT INTO agent_endpoints VALUES (pg_temp.id('endpoint', 1), 'reviewer', 'http://reviewer:9000');
INSERT INTO mcp_servers VALUES (pg_temp.id('mcp', 1), 'files', 'stdio', '{"command": "mcp-files"}');
INSERT INTO skills SELECT pg_temp.id('skill', i), 'skill ' || i, 'Steps …' FROM generate_series(1, 8) i;
INSERT INTO rules SELECT pg_temp.id('rule', i), 'rule ' || i, '^rm -rf', 'block' FROM generate_series(1, 6) i;
INSERT INTO cortex_watched_repos VALUES (pg_temp.id('repo', 1), 'nova/nova', md5('head'));
INSERT INTO github_webhooks
    SELECT pg_temp.id('hook', i), pg_temp.id('repo', 1), 'push', jsonb_build_object('after', md5(i::text))
    FROM generate_series(1, 50) i;
INSERT INTO selfmod_prs SELECT i, 'Change ' || i, 'merged', pg_temp.at(i) FROM generate_series(1, 9) i;

INSERT INTO conversations
    SELECT pg_temp.id('conversation', i), pg_temp.id('user', 1 + i % 40), pg_temp.prose(prose, i, 10, 15, 60),
           jsonb_build_object('channel', 'web', 'pinned', i % 9 = 0), pg_temp.at(i), pg_temp.at(i + 5)
    FROM pg_temp.pool, generate_series(1, :conversations) i;
INSERT INTO messages
    SELECT pg_temp.id('message', i), pg_temp.id('conversation', 1 + pg_temp.pick(i, 20, :conversations)),
           (enum_range(NULL::message_role))[2 + i % 3], pg_temp.prose(prose, i, 21, 60, 1500),
           CASE WHEN i % 4 = 0 THEN jsonb_build_object('model', 'model-' || i % 7, 'latency_ms', pg_temp.pick(i, 23, 9000),
                                                       'tools', jsonb_build_array('search', 'shell')) END,
           pg_temp.pick(i, 24, 800), pg_temp.at(i)
    FROM pg_temp.pool, generate_series(1, :messages) i;
INSERT INTO conversation_outcomes
    SELECT pg_temp.id('conversation', i), pg_temp.pick(i, 25, 1000) / 1000.0, pg_temp.prose(prose, i, 26, 20, 200)
    FROM pg_temp.pool, generate_series(1, :conversations) i;
INSERT INTO agent_sessions
    SELECT pg_temp.id('session', i), pg_temp.id('conversation', i), 'primary',
           jsonb_build_object('step', i % 12, 'scratch', pg_temp.prose(prose, i, 27, 50, 400)), pg_temp.at(i)
    FROM pg_temp.pool, generate_series(1, :conversations) i;
INSERT INTO activity_events (user_id, kind, summary, detail, at)
    SELECT pg_temp.id('user', 1 + i % 40), 'message', pg_temp.prose(prose, i, 28, 20, 120),
           jsonb_build_object('n', i), pg_temp.at(i)
    FROM pg_temp.pool, generate_series(1, :tasks * 3) i;

INSERT INTO goals
    SELECT pg_temp.id('goal', i), CASE WHEN i > 20 THEN pg_temp.id('goal', i / 4) END, pg_temp.id('user', 1 + i % 40),
           'Goal ' || i, 'active', i / 10.0, pg_temp.at(i)
    FROM generate_series(1, 200) i;
INSERT INTO tasks
    SELECT pg_temp.id('task', i), pg_temp.id('goal', 1 + i % 200), pg_temp.id('pod', 1 + i % 5),
           pg_temp.prose(prose, i, 30, 20, 80), (enum_range(NULL::task_state))[1 + pg_temp.pick(i, 31, 6)],
           jsonb_build_object('prompt', pg_temp.prose(prose, i, 32, 100, 900), 'priority', i % 5),
           pg_temp.prose(prose, i, 34, 200, 2400), pg_temp.pick(i, 36, 900000) / 1e6, pg_temp.at(i), pg_temp.at(i + 9)
    FROM pg_temp.pool, generate_series(1, :tasks) i;
INSERT INTO goal_tasks SELECT goal_id, id FROM tasks;
INSERT INTO goal_iterations
    SELECT pg_temp.id('iteration', i), pg_temp.id('goal', 1 + i % 200), i / 200, pg_temp.prose(prose, i, 37, 50, 400)
    FROM pg_temp.pool, generate_series(0, 999) i;
INSERT INTO goal_verifications
    SELECT pg_temp.id('verification', i), pg_temp.id('goal', i), i % 3 > 0, '{"tests": "green"}' FROM generate_series(1, 200) i;
INSERT INTO comments
    SELECT pg_temp.id('comment', i), pg_temp.id('goal', 1 + i % 200), pg_temp.id('user', 1 + i % 40),
           pg_temp.prose(prose, i, 38, 20, 300), pg_temp.at(i)
    FROM pg_temp.pool, generate_series(1, 800) i;
INSERT INTO cortex_state VALUES ('mode', '"active"'), ('budget', '{"usd": 5}');
INSERT INTO cortex_poll_state VALUES ('github', 'abc', '2026-06-01');
INSERT INTO cortex_reflections
    SELECT pg_temp.id('reflection', i), pg_temp.prose(prose, i, 39, 200, 900), pg_temp.at(i)
    FROM pg_temp.pool, generate_series(1, 300) i;
INSERT INTO artifacts
    SELECT pg_temp.id('artifact', i), pg_temp.id('task', i), 'result.bin', 'application/octet-stream',
           substring(noise FROM 1 + pg_temp.pick(i, 40, 250000)::int FOR 1000 + pg_temp.pick(i, 41, 9000)::int)
    FROM pg_temp.pool, generate_series(1, :tasks) i;
INSERT INTO approval_requests
    SELECT pg_temp.id('approval', i), pg_temp.id('task', i), 'May I?', 'yes', pg_temp.id('user', 1) FROM generate_series(1, 40) i;
INSERT INTO code_reviews
    SELECT pg_temp.id('review', i), pg_temp.id('task', i), 'pass', '[]' FROM generate_series(1, 50) i;
INSERT INTO guardrail_findings
    SELECT pg_temp.id('finding', i), pg_temp.id('task', i), 'low', 'Nothing to see' FROM generate_series(1, 50) i;
INSERT INTO pipeline_training_logs (task_id, stage, prompt, completion)
    SELECT pg_temp.id('task', i), 'plan', pg_temp.prose(prose, i, 42, 300, 1500), pg_temp.prose(prose, i, 44, 300, 2500)
    FROM pg_temp.pool, generate_series(1, :tasks) i;
INSERT INTO usage_events (api_key_id, model, input_tokens, output_tokens, cost_usd, latency_ms, metadata, at)
    SELECT pg_temp.id('key', 1 + i % 20), 'model-' || pg_temp.pick(i, 50, 12), pg_temp.pick(i, 51, 8000),
           pg_temp.pick(i, 52, 2000), pg_temp.pick(i, 53, 100000) / 1e7, pg_temp.pick(i, 54, 90000) / 10.0,
           jsonb_build_object('session', pg_temp.pick(i, 55, 5000), 'cached', i % 3 = 0), pg_temp.at(i)
    FROM generate_series(1, :usage_events) i;
INSERT INTO quality_scores (task_id, dimension, score)
    SELECT pg_temp.id('task', 1 + i % :tasks), 'helpfulness', pg_temp.pick(i, 56, 1000) / 1000.0
    FROM generate_series(1, :tasks * 3) i;
INSERT INTO quality_benchmark_runs SELECT pg_temp.id('run', i), 'core', '{"score": 0.9}' FROM generate_series(1, 10) i;
INSERT INTO quality_config_snapshots SELECT pg_temp.id('snapshot', i), '{}' FROM generate_series(1, 5) i;
INSERT INTO quality_loop_sessions
    SELECT pg_temp.id('loop', i), pg_temp.id('snapshot', 1 + i % 5), 'kept' FROM generate_series(1, 10) i;
INSERT INTO friction_log
    SELECT pg_temp.id('friction', i), pg_temp.id('task', i), 'Slow page', i || '.png' FROM generate_series(1, 30) i;

INSERT INTO intel_feeds
    SELECT pg_temp.id('feed', i), 'https://feeds.example.org/' || i, 'Feed ' || i FROM generate_series(1, 25) i;
INSERT INTO intel_content_items (id, feed_id, url, title, body, published_at)
    SELECT pg_temp.id('item', i), pg_temp.id('feed', 1 + i % 25), 'https://news.example.org/' || i,
           pg_temp.prose(prose, i, 60, 30, 90), pg_temp.prose(prose, i, 62, 500, 3500), pg_temp.at(i)
    FROM pg_temp.pool, generate_series(1, :pages) i;
INSERT INTO intel_content_items_archive (id, feed_id, url, title, body, published_at)
    SELECT pg_temp.id('archived', i), pg_temp.id('feed', 1 + i % 25), 'https://old.example.org/' || i,
           pg_temp.prose(prose, i, 64, 30, 90), pg_temp.prose(prose, i, 66, 100, 900), pg_temp.at(i)
    FROM pg_temp.pool, generate_series(1, :pages) i;
INSERT INTO intel_recommendations
    SELECT pg_temp.id('recommendation', i), pg_temp.id('goal', i), 'Try ' || i, pg_temp.prose(prose, i, 68, 100, 600)
    FROM pg_temp.pool, generate_series(1, 80) i;
INSERT INTO intel_recommendation_sources
    SELECT pg_temp.id('recommendation', i), pg_temp.id('item', 1 + i % 50) FROM generate_series(1, 80) i;

INSERT INTO knowledge_sources
    SELECT pg_temp.id('knowledge', i), 'https://docs.example.org/' || i, '{"depth": 3}' FROM generate_series(1, 15) i;
INSERT INTO knowledge_credentials
    SELECT pg_temp.id('secret', i), pg_temp.id('knowledge', i), sha256(convert_to('k' || i, 'UTF8')) FROM generate_series(1, 3) i;
INSERT INTO knowledge_credential_audit (credential_id, action)
    SELECT pg_temp.id('secret', 1 + i % 3), 'use' FROM generate_series(1, 20) i;
INSERT INTO knowledge_crawl_log (source_id, status, at)
    SELECT pg_temp.id('knowledge', 1 + i % 15), 200, pg_temp.at(i) FROM generate_series(1, :pages) i;
INSERT INTO knowledge_page_cache
    SELECT 'https://docs.example.org/page/' || i, pg_temp.id('knowledge', 1 + i % 15), md5(i::text),
           pg_temp.prose(prose, i, 70, 500, 4500)
    FROM pg_temp.pool, generate_series(1, :pages) i;

INSERT INTO sources
    SELECT pg_temp.id('source', i), 'document', 'file:///app/data/sources/' || i || '.txt',
           sha256(convert_to('source' || i, 'UTF8')), pg_temp.prose(prose, i, 72, 500, 4000)
    FROM pg_temp.pool, generate_series(1, :tasks) i;
INSERT INTO engrams
    SELECT pg_temp.id('engram', i), pg_temp.id('tenant', 1), pg_temp.id('source', 1 + i % :tasks),
           (ARRAY['fact', 'episode', 'preference', 'procedure'])[1 + i % 4], pg_temp.prose(prose, i, 80, 80, 600),
           floats[1 + pg_temp.pick(i, 82, 64000)::int : 768 + pg_temp.pick(i, 82, 64000)::int],
           pg_temp.pick(i, 83, 1000) / 1000.0,
           jsonb_build_object('topic', 'topic-' || pg_temp.pick(i, 84, 300), 'language', 'en'),
           pg_temp.at(i), CASE WHEN i % 3 = 0 THEN pg_temp.at(i + 100) END
    FROM pg_temp.pool, generate_series(1, :engrams) i;
INSERT INTO engram_archive
    SELECT pg_temp.id('old engram', i), pg_temp.prose(prose, i, 85, 80, 600), pg_temp.at(i)
    FROM pg_temp.pool, generate_series(1, :tasks) i;
INSERT INTO engram_edges
    SELECT pg_temp.id('engram', 1 + pg_temp.pick(i, 86, :engrams)), pg_temp.id('engram', 1 + pg_temp.pick(i, 87, :engrams)),
           'related', pg_temp.pick(i, 88, 1000) / 1000.0
    FROM generate_series(1, :edges) i
    ON CONFLICT DO NOTHING;
INSERT INTO working_memory_slots SELECT 'session-1', i, pg_temp.id('engram', i) FROM generate_series(1, 7) i;
INSERT INTO retrieval_log (query, engram_ids, at)
    SELECT pg_temp.prose(prose, i, 89, 10, 80), ARRAY[pg_temp.id('engram', i), pg_temp.id('engram', i + 1)], pg_temp.at(i)
    FROM pg_temp.pool, generate_series(1, :tasks) i;
INSERT INTO consolidation_log (merged, archived, at) SELECT i % 40, i % 9, pg_temp.at(i) FROM generate_series(1, 90) i;
INSERT INTO neural_router_models
    SELECT pg_temp.id('router', i), substring(noise FROM 1 FOR 60000), 0.9, pg_temp.at(i)
    FROM pg_temp.pool, generate_series(1, 3) i;
INSERT INTO intel_recommendation_engrams
    SELECT pg_temp.id('recommendation', i), pg_temp.id('engram', i) FROM generate_series(1, 80) i;
INSERT INTO intel_recommendation_memories
    SELECT pg_temp.id('recommendation', i), 'memory ' || i FROM generate_series(1, 80) i;
INSERT INTO embedding_cache
    SELECT sha256(convert_to('cached' || i, 'UTF8')), 'nomic-embed-text',
           substring(noise FROM 1 + pg_temp.pick(i, 90, 250000)::int FOR 3072), pg_temp.at(i)
    FROM pg_temp.pool, generate_series(1, :cached) i;

SELECT setval('ticket_number', 1000 + :tasks) \g /dev/null
CREATE TRIGGER touch_conversation AFTER INSERT ON messages FOR EACH ROW EXECUTE FUNCTION touch_conversation();
REFRESH MATERIALIZED VIEW usage_by_model;

COMMIT;

ANALYZE;
