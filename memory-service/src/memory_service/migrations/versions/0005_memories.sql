-- Every form of a text's words that recall looks for: Spanish stems, English stems, plain words without accents. Names are
-- qualified because a restore runs without a search path.
CREATE FUNCTION f_lexemes(text) RETURNS tsvector LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS
$$
    SELECT to_tsvector('spanish', public.f_words($1))
        || to_tsvector('english', public.f_words($1))
        || to_tsvector('simple', public.f_unaccent(public.f_words($1)))
$$;

-- Levels of objects and lists inside each other: 1 for a flat object, 0 for a scalar.
CREATE FUNCTION f_json_depth(jsonb) RETURNS integer LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS
$$
WITH RECURSIVE inside (depth, value) AS (
    SELECT 0, $1
    UNION ALL
    SELECT depth + 1, inner_value
    FROM inside, LATERAL (
        SELECT element FROM jsonb_array_elements(CASE jsonb_typeof(value) WHEN 'array' THEN value ELSE '[]' END) AS list (element)
        UNION ALL
        SELECT field FROM jsonb_each(CASE jsonb_typeof(value) WHEN 'object' THEN value ELSE '{}' END) AS object (name, field)
    ) AS next (inner_value)
)
SELECT coalesce(max(depth + 1) FILTER (WHERE jsonb_typeof(value) IN ('object', 'array')), 0)::integer FROM inside
$$;

ALTER TABLE memories
    ADD COLUMN blind TSVECTOR,
    ADD COLUMN lexemes TSVECTOR GENERATED ALWAYS AS (CASE WHEN starts_with(content, 'enc1~') THEN coalesce(blind, '') ELSE f_lexemes(content) END) STORED NOT NULL;

CREATE INDEX ix_memories_lexemes ON memories USING gin (lexemes);

CREATE INDEX ix_memories_pending ON memories (owner_id, id) WHERE embedding_status = 'pending';

-- One current memory per subject and key: the newer one supersedes.
CREATE UNIQUE INDEX uq_memories_current_key ON memories (owner_id, user_id, persona_id, key) NULLS NOT DISTINCT
WHERE key IS NOT NULL AND valid_to IS NULL AND NOT is_deleted;

ALTER TABLE memories
    DROP CONSTRAINT ck_memories_content_length,
    DROP CONSTRAINT ck_memories_metadata_size,
    ADD CONSTRAINT ck_memories_content_length CHECK ((length(content) BETWEEN 1 AND 10000 AND content ~ '\S') OR starts_with(content, 'enc1~')),
    ADD CONSTRAINT ck_memories_metadata_size CHECK ((octet_length(metadata::text) <= 5120 AND f_json_depth(metadata) <= 5) OR metadata ? '$encrypted'),
    ADD CONSTRAINT ck_memories_ttl_positive CHECK (ttl_seconds > 0),
    ADD CONSTRAINT ck_memories_ttl_expires CHECK (ttl_seconds IS NULL OR expires_at IS NOT NULL),
    ADD CONSTRAINT ck_memories_valid_interval CHECK (valid_to >= valid_from);
