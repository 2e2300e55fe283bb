-- The schema of the sample database: the tables that a Nova installation has, in a plain PostgreSQL without
-- extensions beyond contrib. `cargo xtask up` and `cargo xtask bench` load it with psql, then data.sql.

CREATE EXTENSION IF NOT EXISTS pgcrypto;
CREATE EXTENSION IF NOT EXISTS pg_trgm;

CREATE TYPE message_role AS ENUM ('system', 'user', 'assistant', 'tool');
CREATE TYPE task_state AS ENUM ('queued', 'running', 'waiting', 'done', 'failed', 'cancelled');
CREATE DOMAIN unit_interval AS double precision CHECK (VALUE BETWEEN 0 AND 1);

CREATE TABLE schema_migrations (
    version text PRIMARY KEY,
    applied_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE tenants (
    id uuid PRIMARY KEY,
    name text NOT NULL UNIQUE,
    created_at timestamptz NOT NULL DEFAULT now()
);

-- People and sign-in.

CREATE TABLE users (
    id uuid PRIMARY KEY,
    tenant_id uuid NOT NULL REFERENCES tenants,
    email text NOT NULL UNIQUE,
    display_name text NOT NULL,
    password_hash text NOT NULL,
    is_admin boolean NOT NULL DEFAULT false,
    preferences jsonb NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE refresh_tokens (
    id uuid PRIMARY KEY,
    user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    token_hash bytea NOT NULL UNIQUE,
    expires_at timestamptz NOT NULL
);
CREATE INDEX refresh_tokens_user_id ON refresh_tokens (user_id);

CREATE TABLE invite_codes (
    code text PRIMARY KEY,
    created_by uuid REFERENCES users ON DELETE SET NULL,
    used_by uuid REFERENCES users ON DELETE SET NULL,
    expires_at timestamptz
);

CREATE TABLE rbac_audit_log (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    actor_id uuid REFERENCES users ON DELETE SET NULL,
    action text NOT NULL,
    detail jsonb NOT NULL DEFAULT '{}',
    at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE audit_log (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    user_id uuid REFERENCES users ON DELETE SET NULL,
    action text NOT NULL,
    resource text NOT NULL,
    detail jsonb NOT NULL DEFAULT '{}',
    client inet,
    at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX audit_log_at ON audit_log USING brin (at);

CREATE TABLE api_keys (
    id uuid PRIMARY KEY,
    user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    name text NOT NULL,
    key_hash bytea NOT NULL UNIQUE,
    scopes text[] NOT NULL DEFAULT '{}',
    last_used_at timestamptz
);

CREATE TABLE linked_accounts (
    id uuid PRIMARY KEY,
    user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    platform text NOT NULL CHECK (platform IN ('telegram', 'slack')),
    external_id text NOT NULL,
    linked_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (platform, external_id)
);

-- Platform configuration.

CREATE TABLE platform_config (
    key text PRIMARY KEY,
    value jsonb NOT NULL,
    description text,
    is_secret boolean NOT NULL DEFAULT false,
    updated_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE platform_config_audit (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    key text NOT NULL,
    old_value jsonb,
    new_value jsonb,
    changed_by uuid REFERENCES users ON DELETE SET NULL,
    changed_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE platform_secrets (
    name text PRIMARY KEY,
    ciphertext bytea NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE capability_credentials (
    id uuid PRIMARY KEY,
    name text NOT NULL UNIQUE,
    provider text NOT NULL,
    ciphertext bytea NOT NULL
);

CREATE TABLE capability_credential_audit (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    credential_id uuid REFERENCES capability_credentials ON DELETE SET NULL,
    action text NOT NULL,
    at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE capability_audit (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    capability text NOT NULL,
    allowed boolean NOT NULL,
    detail jsonb NOT NULL DEFAULT '{}',
    at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE consent_rules (
    id uuid PRIMARY KEY,
    capability text NOT NULL,
    decision text NOT NULL CHECK (decision IN ('allow', 'ask', 'deny')),
    conditions jsonb NOT NULL DEFAULT '{}'
);

CREATE TABLE feature_flags (
    key text PRIMARY KEY,
    enabled boolean NOT NULL,
    rollout unit_interval NOT NULL DEFAULT 1
);

CREATE TABLE feature_flag_audit (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    flag text NOT NULL REFERENCES feature_flags ON DELETE CASCADE,
    enabled boolean NOT NULL,
    at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE pods (
    id uuid PRIMARY KEY,
    name text NOT NULL UNIQUE,
    description text NOT NULL,
    config jsonb NOT NULL DEFAULT '{}'
);

CREATE TABLE pod_agents (
    id uuid PRIMARY KEY,
    pod_id uuid NOT NULL REFERENCES pods ON DELETE CASCADE,
    role text NOT NULL,
    position int NOT NULL,
    model text,
    system_prompt text NOT NULL,
    UNIQUE (pod_id, position)
);

CREATE TABLE agent_endpoints (
    id uuid PRIMARY KEY,
    name text NOT NULL UNIQUE,
    url text NOT NULL
);

CREATE TABLE mcp_servers (
    id uuid PRIMARY KEY,
    name text NOT NULL UNIQUE,
    transport text NOT NULL,
    config jsonb NOT NULL DEFAULT '{}'
);

CREATE TABLE skills (
    id uuid PRIMARY KEY,
    name text NOT NULL UNIQUE,
    body text NOT NULL
);

CREATE TABLE rules (
    id uuid PRIMARY KEY,
    name text NOT NULL UNIQUE,
    pattern text NOT NULL,
    action text NOT NULL
);

CREATE TABLE cortex_watched_repos (
    id uuid PRIMARY KEY,
    repository text NOT NULL UNIQUE,
    last_commit text
);

CREATE TABLE github_webhooks (
    id uuid PRIMARY KEY,
    repository_id uuid NOT NULL REFERENCES cortex_watched_repos ON DELETE CASCADE,
    event text NOT NULL,
    payload jsonb NOT NULL
);

CREATE TABLE selfmod_prs (
    number int PRIMARY KEY,
    title text NOT NULL,
    state text NOT NULL,
    opened_at timestamptz NOT NULL
);

-- Chat.

CREATE TABLE conversations (
    id uuid PRIMARY KEY,
    user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    title text NOT NULL,
    metadata jsonb NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL
);
CREATE INDEX conversations_user_id ON conversations (user_id, updated_at DESC);
CREATE INDEX conversations_title_trgm ON conversations USING gin (title gin_trgm_ops);

CREATE TABLE messages (
    id uuid PRIMARY KEY,
    conversation_id uuid NOT NULL REFERENCES conversations ON DELETE CASCADE,
    role message_role NOT NULL,
    content text NOT NULL,
    metadata jsonb,
    tokens int NOT NULL,
    created_at timestamptz NOT NULL
);
CREATE INDEX messages_conversation_id ON messages (conversation_id, created_at);

CREATE TABLE conversation_outcomes (
    conversation_id uuid PRIMARY KEY REFERENCES conversations ON DELETE CASCADE,
    score unit_interval NOT NULL,
    reason text NOT NULL
);

CREATE TABLE agent_sessions (
    id uuid PRIMARY KEY,
    conversation_id uuid REFERENCES conversations ON DELETE CASCADE,
    agent text NOT NULL,
    state jsonb NOT NULL,
    started_at timestamptz NOT NULL
);

CREATE TABLE activity_events (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    user_id uuid REFERENCES users ON DELETE SET NULL,
    kind text NOT NULL,
    summary text NOT NULL,
    detail jsonb NOT NULL DEFAULT '{}',
    at timestamptz NOT NULL
);
CREATE INDEX activity_events_at ON activity_events (at);

-- Goals and tasks.

CREATE TABLE goals (
    id uuid PRIMARY KEY,
    parent_id uuid REFERENCES goals ON DELETE CASCADE,
    owner_id uuid REFERENCES users ON DELETE SET NULL,
    title text NOT NULL,
    status text NOT NULL,
    budget_usd numeric(10, 4) NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL
);
CREATE INDEX goals_parent_id ON goals (parent_id);

CREATE TABLE tasks (
    id uuid PRIMARY KEY,
    goal_id uuid REFERENCES goals ON DELETE SET NULL,
    pod_id uuid REFERENCES pods ON DELETE SET NULL,
    title text NOT NULL,
    state task_state NOT NULL,
    input jsonb NOT NULL,
    output text,
    cost_usd numeric(10, 6) NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL,
    finished_at timestamptz
);
CREATE INDEX tasks_open ON tasks (state, created_at) WHERE state IN ('queued', 'running', 'waiting');

CREATE TABLE goal_tasks (
    goal_id uuid NOT NULL REFERENCES goals ON DELETE CASCADE,
    task_id uuid NOT NULL REFERENCES tasks ON DELETE CASCADE,
    PRIMARY KEY (goal_id, task_id)
);

CREATE TABLE goal_iterations (
    id uuid PRIMARY KEY,
    goal_id uuid NOT NULL REFERENCES goals ON DELETE CASCADE,
    number int NOT NULL,
    summary text NOT NULL,
    UNIQUE (goal_id, number)
);

CREATE TABLE goal_verifications (
    id uuid PRIMARY KEY,
    goal_id uuid NOT NULL REFERENCES goals ON DELETE CASCADE,
    passed boolean NOT NULL,
    evidence jsonb NOT NULL
);

CREATE TABLE comments (
    id uuid PRIMARY KEY,
    goal_id uuid REFERENCES goals ON DELETE CASCADE,
    author_id uuid REFERENCES users ON DELETE CASCADE,
    body text NOT NULL,
    created_at timestamptz NOT NULL
);

CREATE TABLE cortex_state (
    key text PRIMARY KEY,
    value jsonb NOT NULL
);

CREATE TABLE cortex_poll_state (
    source text PRIMARY KEY,
    cursor text,
    polled_at timestamptz
);

CREATE TABLE cortex_reflections (
    id uuid PRIMARY KEY,
    body text NOT NULL,
    at timestamptz NOT NULL
);

CREATE TABLE artifacts (
    id uuid PRIMARY KEY,
    task_id uuid NOT NULL REFERENCES tasks ON DELETE CASCADE,
    name text NOT NULL,
    media_type text NOT NULL,
    body bytea NOT NULL
);
ALTER TABLE artifacts ALTER COLUMN body SET STORAGE EXTERNAL;

CREATE TABLE approval_requests (
    id uuid PRIMARY KEY,
    task_id uuid NOT NULL REFERENCES tasks ON DELETE CASCADE,
    question text NOT NULL,
    answer text,
    answered_by uuid REFERENCES users ON DELETE SET NULL
);

CREATE TABLE code_reviews (
    id uuid PRIMARY KEY,
    task_id uuid NOT NULL REFERENCES tasks ON DELETE CASCADE,
    verdict text NOT NULL,
    findings jsonb NOT NULL
);

CREATE TABLE guardrail_findings (
    id uuid PRIMARY KEY,
    task_id uuid NOT NULL REFERENCES tasks ON DELETE CASCADE,
    severity text NOT NULL,
    finding text NOT NULL
);

CREATE TABLE pipeline_training_logs (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    task_id uuid REFERENCES tasks ON DELETE SET NULL,
    stage text NOT NULL,
    prompt text NOT NULL,
    completion text NOT NULL
);

CREATE TABLE usage_events (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    api_key_id uuid REFERENCES api_keys ON DELETE SET NULL,
    model text NOT NULL,
    input_tokens int NOT NULL,
    output_tokens int NOT NULL,
    total_tokens int GENERATED ALWAYS AS (input_tokens + output_tokens) STORED,
    cost_usd numeric(12, 8) NOT NULL,
    latency_ms real NOT NULL,
    metadata jsonb NOT NULL DEFAULT '{}',
    at timestamptz NOT NULL
);
CREATE INDEX usage_events_at ON usage_events (at);
CREATE INDEX usage_events_model ON usage_events (model, at);

CREATE TABLE quality_scores (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    task_id uuid REFERENCES tasks ON DELETE CASCADE,
    dimension text NOT NULL,
    score unit_interval NOT NULL
);

CREATE TABLE quality_benchmark_runs (
    id uuid PRIMARY KEY,
    suite text NOT NULL,
    results jsonb NOT NULL
);

CREATE TABLE quality_config_snapshots (
    id uuid PRIMARY KEY,
    config jsonb NOT NULL
);

CREATE TABLE quality_loop_sessions (
    id uuid PRIMARY KEY,
    snapshot_id uuid NOT NULL REFERENCES quality_config_snapshots ON DELETE CASCADE,
    verdict text
);

CREATE TABLE friction_log (
    id uuid PRIMARY KEY,
    task_id uuid REFERENCES tasks ON DELETE SET NULL,
    description text NOT NULL,
    screenshot text
);

-- Intel feeds.

CREATE TABLE intel_feeds (
    id uuid PRIMARY KEY,
    url text NOT NULL UNIQUE,
    title text NOT NULL,
    interval_minutes int NOT NULL DEFAULT 60
);

CREATE TABLE intel_content_items (
    id uuid PRIMARY KEY,
    feed_id uuid NOT NULL REFERENCES intel_feeds ON DELETE CASCADE,
    url text NOT NULL,
    title text NOT NULL,
    body text NOT NULL,
    published_at timestamptz NOT NULL,
    search tsvector GENERATED ALWAYS AS (to_tsvector('simple', title)) STORED
);
CREATE INDEX intel_content_items_feed_id ON intel_content_items (feed_id, published_at);
CREATE INDEX intel_content_items_search ON intel_content_items USING gin (search);

CREATE TABLE intel_content_items_archive (LIKE intel_content_items INCLUDING DEFAULTS INCLUDING GENERATED);
ALTER TABLE intel_content_items_archive ADD PRIMARY KEY (id);

CREATE TABLE intel_recommendations (
    id uuid PRIMARY KEY,
    goal_id uuid REFERENCES goals ON DELETE SET NULL,
    title text NOT NULL,
    rationale text NOT NULL
);

CREATE TABLE intel_recommendation_sources (
    recommendation_id uuid NOT NULL REFERENCES intel_recommendations ON DELETE CASCADE,
    item_id uuid NOT NULL REFERENCES intel_content_items ON DELETE CASCADE,
    PRIMARY KEY (recommendation_id, item_id)
);

-- Knowledge crawler.

CREATE TABLE knowledge_sources (
    id uuid PRIMARY KEY,
    url text NOT NULL UNIQUE,
    crawl jsonb NOT NULL DEFAULT '{}'
);

CREATE TABLE knowledge_credentials (
    id uuid PRIMARY KEY,
    source_id uuid NOT NULL REFERENCES knowledge_sources ON DELETE CASCADE,
    ciphertext bytea NOT NULL
);

CREATE TABLE knowledge_credential_audit (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    credential_id uuid REFERENCES knowledge_credentials ON DELETE SET NULL,
    action text NOT NULL
);

CREATE TABLE knowledge_crawl_log (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    source_id uuid NOT NULL REFERENCES knowledge_sources ON DELETE CASCADE,
    status int NOT NULL,
    at timestamptz NOT NULL
);

CREATE TABLE knowledge_page_cache (
    url text PRIMARY KEY,
    source_id uuid NOT NULL REFERENCES knowledge_sources ON DELETE CASCADE,
    etag text,
    body text NOT NULL
);

-- Memory.

CREATE TABLE sources (
    id uuid PRIMARY KEY,
    kind text NOT NULL,
    uri text NOT NULL,
    content_hash bytea NOT NULL,
    content text NOT NULL
);

CREATE TABLE engrams (
    id uuid PRIMARY KEY,
    tenant_id uuid NOT NULL REFERENCES tenants,
    source_id uuid REFERENCES sources ON DELETE SET NULL,
    kind text NOT NULL,
    content text NOT NULL,
    embedding real[] NOT NULL,
    importance unit_interval NOT NULL,
    metadata jsonb NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL,
    accessed_at timestamptz
);
ALTER TABLE engrams ALTER COLUMN embedding SET STORAGE EXTERNAL;
CREATE INDEX engrams_kind ON engrams (kind, importance DESC);
CREATE INDEX engrams_metadata ON engrams USING gin (metadata jsonb_path_ops);

CREATE TABLE engram_archive (
    id uuid PRIMARY KEY,
    content text NOT NULL,
    archived_at timestamptz NOT NULL
);

CREATE TABLE engram_edges (
    source_id uuid NOT NULL REFERENCES engrams ON DELETE CASCADE,
    target_id uuid NOT NULL REFERENCES engrams ON DELETE CASCADE,
    relation text NOT NULL,
    weight real NOT NULL,
    PRIMARY KEY (source_id, target_id, relation)
);
CREATE INDEX engram_edges_target_id ON engram_edges (target_id);

CREATE TABLE working_memory_slots (
    session text NOT NULL,
    slot int NOT NULL,
    engram_id uuid REFERENCES engrams ON DELETE CASCADE,
    PRIMARY KEY (session, slot)
);

CREATE TABLE retrieval_log (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    query text NOT NULL,
    engram_ids uuid[] NOT NULL,
    at timestamptz NOT NULL
);

CREATE TABLE consolidation_log (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    merged int NOT NULL,
    archived int NOT NULL,
    at timestamptz NOT NULL
);

CREATE TABLE neural_router_models (
    id uuid PRIMARY KEY,
    weights bytea NOT NULL,
    accuracy unit_interval NOT NULL,
    trained_at timestamptz NOT NULL
);

CREATE TABLE intel_recommendation_engrams (
    recommendation_id uuid NOT NULL REFERENCES intel_recommendations ON DELETE CASCADE,
    engram_id uuid NOT NULL REFERENCES engrams ON DELETE CASCADE,
    PRIMARY KEY (recommendation_id, engram_id)
);

CREATE TABLE intel_recommendation_memories (
    recommendation_id uuid NOT NULL REFERENCES intel_recommendations ON DELETE CASCADE,
    memory text NOT NULL,
    PRIMARY KEY (recommendation_id, memory)
);

CREATE TABLE embedding_cache (
    content_hash bytea PRIMARY KEY,
    model text NOT NULL,
    embedding bytea NOT NULL,
    created_at timestamptz NOT NULL
);
ALTER TABLE embedding_cache ALTER COLUMN embedding SET STORAGE EXTERNAL;

-- What is derived.

CREATE SEQUENCE ticket_number START 1000;

CREATE FUNCTION touch_conversation() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE conversations SET updated_at = greatest(updated_at, NEW.created_at) WHERE id = NEW.conversation_id;
    RETURN NEW;
END
$$;

CREATE VIEW open_tasks AS
    SELECT t.id, t.title, t.state, g.title AS goal
    FROM tasks t LEFT JOIN goals g ON g.id = t.goal_id
    WHERE t.state IN ('queued', 'running', 'waiting');

CREATE MATERIALIZED VIEW usage_by_model AS
    SELECT model, count(*) AS calls, sum(total_tokens) AS tokens, sum(cost_usd) AS cost_usd
    FROM usage_events GROUP BY model
    WITH NO DATA;
CREATE UNIQUE INDEX usage_by_model_model ON usage_by_model (model);

COMMENT ON TABLE engrams IS 'What Nova remembers, with the vector that finds it again';
