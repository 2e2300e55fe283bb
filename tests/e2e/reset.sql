-- What a much-used installation has besides the sample schema: tables in no category, some of which depend on rows that
-- a factory reset wipes, and references of every action, among them self-references and a cycle.

-- Rows follow what they are about; those about nothing stay.
CREATE TABLE bookmarks (
    id int PRIMARY KEY,
    message_id uuid REFERENCES messages ON DELETE CASCADE,
    note text
);
CREATE TABLE bookmark_labels (
    bookmark_id int REFERENCES bookmarks,
    label text,
    PRIMARY KEY (bookmark_id, label)
);
-- These lose the reference and stay.
CREATE TABLE message_drafts (
    id int PRIMARY KEY,
    answers uuid REFERENCES messages ON DELETE SET NULL,
    body text
);
CREATE TABLE thread_links (
    id int PRIMARY KEY,
    parent int REFERENCES thread_links,
    conversation_id uuid REFERENCES conversations ON DELETE RESTRICT
);
CREATE TABLE plan_steps (
    id int PRIMARY KEY,
    goal_id uuid REFERENCES goals ON DELETE CASCADE
);
CREATE TABLE plan_notes (
    id int PRIMARY KEY,
    step_id int NOT NULL REFERENCES plan_steps
);
ALTER TABLE plan_steps ADD first_note int REFERENCES plan_notes DEFERRABLE INITIALLY DEFERRED;
CREATE TABLE plugin_settings (
    plugin text PRIMARY KEY,
    settings jsonb
);
CREATE TABLE telemetry (
    at date NOT NULL,
    session_id uuid REFERENCES agent_sessions ON DELETE CASCADE,
    value int
) PARTITION BY RANGE (at);
CREATE TABLE telemetry_2025 PARTITION OF telemetry FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
CREATE TABLE telemetry_2026 PARTITION OF telemetry FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
CREATE SCHEMA plugins;
CREATE TABLE plugins.users (id int PRIMARY KEY, name text);
CREATE TABLE plugins.notes (id int PRIMARY KEY, user_id uuid REFERENCES public.users ON DELETE CASCADE);

-- References from tables of one category to another one's.
ALTER TABLE sources ADD feed_id uuid DEFAULT NULL REFERENCES intel_feeds ON DELETE SET DEFAULT;
ALTER TABLE skills ADD learned_from uuid REFERENCES conversations;
ALTER TABLE linked_accounts ADD last_message uuid REFERENCES messages ON DELETE RESTRICT;
ALTER TABLE neural_router_models ADD trained_by uuid REFERENCES users;
-- And from one of which no row is ever deleted.
ALTER TABLE tenants ADD owner_id uuid REFERENCES users ON DELETE RESTRICT;
ALTER TABLE tenants ADD default_pod uuid REFERENCES pods ON DELETE CASCADE;

CREATE VIEW drafts_of_messages AS SELECT d.id, m.content FROM message_drafts d JOIN messages m ON m.id = d.answers;
-- A trigger that sees every row that goes.
CREATE FUNCTION let_go() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN OLD; END $$;
CREATE TRIGGER let_go BEFORE DELETE ON comments FOR EACH ROW EXECUTE FUNCTION let_go();

INSERT INTO bookmarks SELECT row_number() OVER (), id, 'worth it' FROM (SELECT id FROM messages ORDER BY id LIMIT 12) m;
INSERT INTO bookmarks SELECT i, NULL, 'to read' FROM generate_series(100, 104) i;
INSERT INTO bookmark_labels SELECT id, 'label' FROM bookmarks;
INSERT INTO message_drafts SELECT row_number() OVER (), id, 'dear' FROM (SELECT id FROM messages ORDER BY id LIMIT 5) m;
INSERT INTO message_drafts VALUES (50, NULL, 'from scratch');
INSERT INTO thread_links SELECT row_number() OVER (), NULL, id FROM (SELECT id FROM conversations ORDER BY id LIMIT 3) c;
INSERT INTO thread_links VALUES (10, 1, NULL), (11, 10, NULL), (20, NULL, NULL), (21, 20, NULL);
INSERT INTO plan_steps SELECT row_number() OVER (), id FROM (SELECT id FROM goals ORDER BY id LIMIT 4) g;
INSERT INTO plan_steps VALUES (50, NULL);
INSERT INTO plan_notes SELECT id + 100, id FROM plan_steps;
UPDATE plan_steps SET first_note = id + 100;
INSERT INTO plugin_settings VALUES ('weather', '{"city": "Bonn"}');
INSERT INTO telemetry SELECT '2025-06-01', id, 1 FROM agent_sessions;
INSERT INTO telemetry VALUES ('2026-06-01', NULL, 2);
INSERT INTO plugins.users VALUES (1, 'somebody else');
INSERT INTO plugins.notes SELECT row_number() OVER (), id FROM (SELECT id FROM users ORDER BY id LIMIT 3) u;
INSERT INTO plugins.notes VALUES (50, NULL);
UPDATE sources SET feed_id = (SELECT min(id::text)::uuid FROM intel_feeds)
    WHERE id IN (SELECT id FROM sources ORDER BY id LIMIT 7);
UPDATE neural_router_models SET trained_by = (SELECT min(id::text)::uuid FROM users);
UPDATE tenants SET owner_id = (SELECT min(id::text)::uuid FROM users), default_pod = (SELECT min(id::text)::uuid FROM pods);
