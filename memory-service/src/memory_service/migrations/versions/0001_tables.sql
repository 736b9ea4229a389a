-- Vectors. PostgreSQL needs pgvector installed; the embedded server carries it.
CREATE EXTENSION IF NOT EXISTS vector;

-- Lower case without accents, for the plain-word arm of the text index. Written here because the embedded server has no
-- `unaccent` extension; it strips every combining accent of Latin letters.
CREATE FUNCTION f_unaccent(text) RETURNS text LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS
$$ SELECT regexp_replace(normalize(lower($1), NFD), '[\u0300-\u036f]', '', 'g') $$;

-- Text for the text index: signs outside ASCII become blanks. Where the database's character type is C, as on the embedded
-- server, PostgreSQL's parser takes them for letters, and «gato» in quotes or ¿gato with its question mark would be other
-- words than gato. Ranges: Latin-1 signs, general punctuation, arrows to dingbats, CJK punctuation, variation marks, emoji.
CREATE FUNCTION f_words(text) RETURNS text LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS
$$ SELECT regexp_replace($1, '[\u00a1-\u00bf\u00d7\u00f7\u2000-\u206f\u2190-\u2bff\u3000-\u303f\ufe00-\ufe0f\U0001f000-\U0001faff]+', ' ', 'g') $$;

-- A model whose vectors are in the database; at most one is active, and start-up checks that it is the configured one.
CREATE TABLE embedding_models (
    id SERIAL NOT NULL,
    name TEXT NOT NULL,
    revision TEXT DEFAULT '' NOT NULL,
    dimension INTEGER NOT NULL,
    active BOOLEAN DEFAULT false NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_embedding_models PRIMARY KEY (id),
    CONSTRAINT uq_embedding_models_name_revision UNIQUE (name, revision),
    CONSTRAINT ck_embedding_models_dimension_range CHECK (dimension BETWEEN 1 AND 4000)
);

CREATE UNIQUE INDEX uq_embedding_models_active ON embedding_models (active) WHERE active;

-- A tenant. Its id comes from the API key, never from a request body.
CREATE TABLE owners (
    id TEXT NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_owners PRIMARY KEY (id),
    CONSTRAINT ck_owners_id_length CHECK (length(id) BETWEEN 1 AND 255)
);

-- A key's SHA-256; revoked keys stay for the audit trail.
CREATE TABLE api_keys (
    id UUID NOT NULL,
    owner_id TEXT NOT NULL,
    key_hash BYTEA NOT NULL,
    rate_limit INTEGER DEFAULT 60 NOT NULL,
    metadata JSONB DEFAULT '{}'::jsonb NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    last_used_at TIMESTAMP WITH TIME ZONE,
    revoked_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT pk_api_keys PRIMARY KEY (id),
    CONSTRAINT ck_api_keys_rate_limit_positive CHECK (rate_limit > 0),
    CONSTRAINT fk_api_keys_owner_id FOREIGN KEY(owner_id) REFERENCES owners (id) ON DELETE CASCADE,
    CONSTRAINT uq_api_keys_key_hash UNIQUE (key_hash)
);

-- A write answered once: the same key with the same body gets the same answer again.
CREATE TABLE idempotent_requests (
    owner_id TEXT NOT NULL,
    key TEXT NOT NULL,
    request_hash BYTEA NOT NULL,
    status INTEGER NOT NULL,
    body BYTEA NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_idempotent_requests PRIMARY KEY (owner_id, key),
    CONSTRAINT ck_idempotent_requests_key_length CHECK (length(key) BETWEEN 1 AND 255),
    CONSTRAINT fk_idempotent_requests_owner_id FOREIGN KEY(owner_id) REFERENCES owners (id) ON DELETE CASCADE
);

CREATE INDEX ix_idempotent_requests_created_at ON idempotent_requests (created_at);

-- A character. `settings` holds data about her, such as her style markers.
CREATE TABLE personas (
    id UUID NOT NULL,
    owner_id TEXT NOT NULL,
    slug TEXT NOT NULL,
    name TEXT NOT NULL,
    language TEXT DEFAULT 'es' NOT NULL,
    settings JSONB DEFAULT '{}'::jsonb NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_personas PRIMARY KEY (id),
    CONSTRAINT uq_personas_owner_id_id UNIQUE (owner_id, id),
    CONSTRAINT uq_personas_owner_id_slug UNIQUE (owner_id, slug),
    CONSTRAINT ck_personas_slug_shape CHECK (slug ~ '^[a-z0-9][a-z0-9_-]{0,63}$'),
    CONSTRAINT fk_personas_owner_id FOREIGN KEY(owner_id) REFERENCES owners (id) ON DELETE CASCADE
);

-- A viewer, under the id the client gives; never a tenant boundary.
CREATE TABLE users (
    owner_id TEXT NOT NULL,
    id TEXT NOT NULL,
    opt_out_training BOOLEAN DEFAULT false NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_users PRIMARY KEY (owner_id, id),
    CONSTRAINT ck_users_id_length CHECK (length(id) BETWEEN 1 AND 255),
    CONSTRAINT fk_users_owner_id FOREIGN KEY(owner_id) REFERENCES owners (id) ON DELETE CASCADE
);

-- Layer 0. A trigger refuses every change of a row whose `is_mutable` is false.
CREATE TABLE core_memory (
    id UUID NOT NULL,
    owner_id TEXT NOT NULL,
    persona_id UUID NOT NULL,
    category TEXT NOT NULL,
    key TEXT NOT NULL,
    value TEXT NOT NULL,
    is_mutable BOOLEAN DEFAULT false NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_core_memory PRIMARY KEY (id),
    CONSTRAINT fk_core_memory_owner_id_persona_id FOREIGN KEY(owner_id, persona_id) REFERENCES personas (owner_id, id) ON DELETE CASCADE,
    CONSTRAINT uq_core_memory_owner_id_persona_id_category_key UNIQUE (owner_id, persona_id, category, key),
    CONSTRAINT ck_core_memory_name_length CHECK (length(category) BETWEEN 1 AND 64 AND length(key) BETWEEN 1 AND 255),
    CONSTRAINT ck_core_memory_value_length CHECK (length(value) BETWEEN 1 AND 10000),
    CONSTRAINT fk_core_memory_owner_id FOREIGN KEY(owner_id) REFERENCES owners (id) ON DELETE CASCADE
);

-- A trained adapter: its manifest, its parent, the dataset it learned from and the gate's last word on it.
CREATE TABLE lora_versions (
    id UUID NOT NULL,
    owner_id TEXT NOT NULL,
    persona_id UUID NOT NULL,
    adapter_id TEXT NOT NULL,
    layer INTEGER NOT NULL,
    parent_adapter_id TEXT,
    export_id TEXT,
    weights_sha256 TEXT NOT NULL,
    manifest JSONB NOT NULL,
    report JSONB,
    verdict TEXT,
    status TEXT DEFAULT 'trained' NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    tainted_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT pk_lora_versions PRIMARY KEY (id),
    CONSTRAINT fk_lora_versions_owner_id_persona_id FOREIGN KEY(owner_id, persona_id) REFERENCES personas (owner_id, id) ON DELETE CASCADE,
    CONSTRAINT uq_lora_versions_owner_id_id UNIQUE (owner_id, id),
    CONSTRAINT uq_lora_versions_owner_id_adapter_id UNIQUE (owner_id, adapter_id),
    CONSTRAINT ck_lora_versions_layer_range CHECK (layer BETWEEN 1 AND 3),
    CONSTRAINT ck_lora_versions_verdict CHECK (verdict IN ('pass', 'fail', 'inconclusive')),
    CONSTRAINT ck_lora_versions_status CHECK (status IN ('trained', 'evaluated', 'deployed', 'retired')),
    CONSTRAINT fk_lora_versions_owner_id FOREIGN KEY(owner_id) REFERENCES owners (id) ON DELETE CASCADE
);

CREATE INDEX ix_lora_versions_owner_id_export_id ON lora_versions (owner_id, export_id);

-- A conversation of one viewer with one persona, and the viewer's consent for it.
CREATE TABLE sessions (
    id UUID NOT NULL,
    owner_id TEXT NOT NULL,
    persona_id UUID NOT NULL,
    user_id TEXT NOT NULL,
    opt_out_training BOOLEAN DEFAULT false NOT NULL,
    started_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    ended_at TIMESTAMP WITH TIME ZONE,
    metadata JSONB DEFAULT '{}'::jsonb NOT NULL,
    CONSTRAINT pk_sessions PRIMARY KEY (id),
    CONSTRAINT fk_sessions_owner_id_persona_id FOREIGN KEY(owner_id, persona_id) REFERENCES personas (owner_id, id) ON DELETE CASCADE,
    CONSTRAINT fk_sessions_owner_id_user_id FOREIGN KEY(owner_id, user_id) REFERENCES users (owner_id, id) ON DELETE CASCADE,
    CONSTRAINT uq_sessions_owner_id_id UNIQUE (owner_id, id),
    CONSTRAINT ck_sessions_ends_after_start CHECK (ended_at IS NULL OR ended_at >= started_at),
    CONSTRAINT fk_sessions_owner_id FOREIGN KEY(owner_id) REFERENCES owners (id) ON DELETE CASCADE
);

CREATE INDEX ix_sessions_owner_id_persona_id_started_at ON sessions (owner_id, persona_id, started_at);

CREATE INDEX ix_sessions_owner_id_user_id_started_at ON sessions (owner_id, user_id, started_at);

-- A theme found by clustering the persona's interactions.
CREATE TABLE topics (
    id UUID NOT NULL,
    owner_id TEXT NOT NULL,
    persona_id UUID NOT NULL,
    label TEXT NOT NULL,
    keywords TEXT[] NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_topics PRIMARY KEY (id),
    CONSTRAINT fk_topics_owner_id_persona_id FOREIGN KEY(owner_id, persona_id) REFERENCES personas (owner_id, id) ON DELETE CASCADE,
    CONSTRAINT uq_topics_owner_id_id UNIQUE (owner_id, id),
    CONSTRAINT fk_topics_owner_id FOREIGN KEY(owner_id) REFERENCES owners (id) ON DELETE CASCADE
);

-- A dataset handed out: filters, funnel and hashes in its manifest.
CREATE TABLE training_exports (
    id UUID NOT NULL,
    owner_id TEXT NOT NULL,
    persona_id UUID NOT NULL,
    export_id TEXT NOT NULL,
    type TEXT NOT NULL,
    format TEXT NOT NULL,
    dataset_sha256 TEXT NOT NULL,
    manifest JSONB NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    tainted_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT pk_training_exports PRIMARY KEY (id),
    CONSTRAINT fk_training_exports_owner_id_persona_id FOREIGN KEY(owner_id, persona_id) REFERENCES personas (owner_id, id) ON DELETE CASCADE,
    CONSTRAINT uq_training_exports_owner_id_id UNIQUE (owner_id, id),
    CONSTRAINT uq_training_exports_owner_id_export_id UNIQUE (owner_id, export_id),
    CONSTRAINT fk_training_exports_owner_id FOREIGN KEY(owner_id) REFERENCES owners (id) ON DELETE CASCADE
);

-- An adapter put on Ollama under a tag.
CREATE TABLE deployments (
    id UUID NOT NULL,
    owner_id TEXT NOT NULL,
    lora_version_id UUID NOT NULL,
    tag TEXT NOT NULL,
    host TEXT NOT NULL,
    live BOOLEAN NOT NULL,
    smoke JSONB DEFAULT '{}'::jsonb NOT NULL,
    deployed_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    retired_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT pk_deployments PRIMARY KEY (id),
    CONSTRAINT fk_deployments_owner_id_lora_version_id FOREIGN KEY(owner_id, lora_version_id) REFERENCES lora_versions (owner_id, id) ON DELETE CASCADE,
    CONSTRAINT fk_deployments_owner_id FOREIGN KEY(owner_id) REFERENCES owners (id) ON DELETE CASCADE
);

CREATE INDEX ix_deployments_owner_id_tag_deployed_at ON deployments (owner_id, tag, deployed_at);

-- One exchange: what the viewer said, what the persona answered, how good the answer was and why.
CREATE TABLE interactions (
    id UUID NOT NULL,
    owner_id TEXT NOT NULL,
    persona_id UUID NOT NULL,
    session_id UUID NOT NULL,
    user_id TEXT NOT NULL,
    input_text TEXT NOT NULL,
    output_text TEXT DEFAULT '' NOT NULL,
    input_emotion TEXT,
    output_emotion TEXT,
    model_version TEXT,
    occurred_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    quality_score DOUBLE PRECISION NOT NULL,
    quality_source TEXT DEFAULT 'scorer' NOT NULL,
    quality JSONB NOT NULL,
    dropped BOOLEAN DEFAULT false NOT NULL,
    content_hash BYTEA NOT NULL,
    embedding_status TEXT DEFAULT 'pending' NOT NULL,
    metadata JSONB DEFAULT '{}'::jsonb NOT NULL,
    lexemes TSVECTOR GENERATED ALWAYS AS (to_tsvector('spanish', f_words(input_text || ' ' || output_text)) || to_tsvector('english', f_words(input_text || ' ' || output_text)) || to_tsvector('simple', f_unaccent(f_words(input_text || ' ' || output_text)))) STORED NOT NULL,
    CONSTRAINT pk_interactions PRIMARY KEY (id),
    CONSTRAINT fk_interactions_owner_id_persona_id FOREIGN KEY(owner_id, persona_id) REFERENCES personas (owner_id, id) ON DELETE CASCADE,
    CONSTRAINT fk_interactions_owner_id_session_id FOREIGN KEY(owner_id, session_id) REFERENCES sessions (owner_id, id) ON DELETE CASCADE,
    CONSTRAINT fk_interactions_owner_id_user_id FOREIGN KEY(owner_id, user_id) REFERENCES users (owner_id, id) ON DELETE CASCADE,
    CONSTRAINT uq_interactions_owner_id_id UNIQUE (owner_id, id),
    CONSTRAINT ck_interactions_quality_range CHECK (quality_score BETWEEN 0 AND 1),
    CONSTRAINT ck_interactions_quality_source CHECK (quality_source IN ('scorer', 'human')),
    CONSTRAINT ck_interactions_embedding_status CHECK (embedding_status IN ('pending', 'done', 'failed')),
    CONSTRAINT ck_interactions_input_length CHECK (length(input_text) BETWEEN 1 AND 32000),
    CONSTRAINT ck_interactions_output_length CHECK (length(output_text) <= 32000),
    CONSTRAINT fk_interactions_owner_id FOREIGN KEY(owner_id) REFERENCES owners (id) ON DELETE CASCADE
);

CREATE INDEX ix_interactions_lexemes ON interactions USING gin (lexemes);

CREATE INDEX ix_interactions_owner_id_persona_id_occurred_at_id ON interactions (owner_id, persona_id, occurred_at, id);

CREATE INDEX ix_interactions_owner_id_user_id_occurred_at ON interactions (owner_id, user_id, occurred_at);

CREATE INDEX ix_interactions_pending ON interactions (owner_id, id) WHERE embedding_status = 'pending';

CREATE INDEX ix_interactions_session_id_occurred_at_id ON interactions (session_id, occurred_at, id);

-- One interaction inside a dataset. No foreign key to it: the record of what was learned outlives an erased exchange.
CREATE TABLE training_export_rows (
    training_export_id UUID NOT NULL,
    interaction_id UUID NOT NULL,
    owner_id TEXT NOT NULL,
    row_number INTEGER NOT NULL,
    split TEXT NOT NULL,
    content_hash BYTEA NOT NULL,
    CONSTRAINT pk_training_export_rows PRIMARY KEY (training_export_id, interaction_id),
    CONSTRAINT fk_training_export_rows_owner_id_training_export_id FOREIGN KEY(owner_id, training_export_id) REFERENCES training_exports (owner_id, id) ON DELETE CASCADE,
    CONSTRAINT ck_training_export_rows_split CHECK (split IN ('train', 'val')),
    CONSTRAINT fk_training_export_rows_owner_id FOREIGN KEY(owner_id) REFERENCES owners (id) ON DELETE CASCADE
);

CREATE INDEX ix_training_export_rows_owner_id_interaction_id ON training_export_rows (owner_id, interaction_id);

-- A human's rating of one reply, 1 (bad) to 5 (excellent).
CREATE TABLE feedback (
    id UUID NOT NULL,
    owner_id TEXT NOT NULL,
    interaction_id UUID NOT NULL,
    user_id TEXT,
    rating INTEGER NOT NULL,
    comment TEXT,
    corrected_output TEXT,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_feedback PRIMARY KEY (id),
    CONSTRAINT fk_feedback_owner_id_interaction_id FOREIGN KEY(owner_id, interaction_id) REFERENCES interactions (owner_id, id) ON DELETE CASCADE,
    CONSTRAINT ck_feedback_rating_range CHECK (rating BETWEEN 1 AND 5),
    CONSTRAINT fk_feedback_owner_id FOREIGN KEY(owner_id) REFERENCES owners (id) ON DELETE CASCADE
);

CREATE INDEX ix_feedback_owner_id_interaction_id ON feedback (owner_id, interaction_id);

-- Which topic an interaction belongs to, and how near its centre it lies (cosine, −1 to 1).
CREATE TABLE interaction_topics (
    interaction_id UUID NOT NULL,
    topic_id UUID NOT NULL,
    owner_id TEXT NOT NULL,
    similarity DOUBLE PRECISION NOT NULL,
    CONSTRAINT pk_interaction_topics PRIMARY KEY (interaction_id, topic_id),
    CONSTRAINT fk_interaction_topics_owner_id_interaction_id FOREIGN KEY(owner_id, interaction_id) REFERENCES interactions (owner_id, id) ON DELETE CASCADE,
    CONSTRAINT fk_interaction_topics_owner_id_topic_id FOREIGN KEY(owner_id, topic_id) REFERENCES topics (owner_id, id) ON DELETE CASCADE,
    CONSTRAINT fk_interaction_topics_owner_id FOREIGN KEY(owner_id) REFERENCES owners (id) ON DELETE CASCADE
);

CREATE INDEX ix_interaction_topics_owner_id_topic_id ON interaction_topics (owner_id, topic_id);

-- A typed long-term item about a viewer; a superseded one keeps its validity interval.
CREATE TABLE memories (
    id UUID NOT NULL,
    owner_id TEXT NOT NULL,
    user_id TEXT NOT NULL,
    persona_id UUID,
    type TEXT NOT NULL,
    content TEXT NOT NULL,
    key TEXT,
    value JSONB,
    confidence DOUBLE PRECISION DEFAULT 1.0 NOT NULL,
    importance INTEGER,
    metadata JSONB DEFAULT '{}'::jsonb NOT NULL,
    ingestion_mode TEXT DEFAULT 'explicit' NOT NULL,
    ttl_seconds INTEGER,
    expires_at TIMESTAMP WITH TIME ZONE,
    is_deleted BOOLEAN DEFAULT false NOT NULL,
    valid_from TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    valid_to TIMESTAMP WITH TIME ZONE,
    superseded_by UUID,
    source_interaction_id UUID,
    embedding_status TEXT DEFAULT 'pending' NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_memories PRIMARY KEY (id),
    CONSTRAINT fk_memories_owner_id_persona_id FOREIGN KEY(owner_id, persona_id) REFERENCES personas (owner_id, id) ON DELETE CASCADE,
    CONSTRAINT fk_memories_owner_id_user_id FOREIGN KEY(owner_id, user_id) REFERENCES users (owner_id, id) ON DELETE CASCADE,
    CONSTRAINT fk_memories_owner_id_source_interaction_id FOREIGN KEY(owner_id, source_interaction_id) REFERENCES interactions (owner_id, id) ON DELETE CASCADE,
    CONSTRAINT uq_memories_owner_id_id UNIQUE (owner_id, id),
    CONSTRAINT ck_memories_type CHECK (type IN ('fact', 'preference', 'event', 'system')),
    CONSTRAINT ck_memories_content_length CHECK (length(content) BETWEEN 1 AND 10000),
    CONSTRAINT ck_memories_key_length CHECK (length(key) <= 255),
    CONSTRAINT ck_memories_confidence_range CHECK (confidence BETWEEN 0 AND 1),
    CONSTRAINT ck_memories_importance_range CHECK (importance BETWEEN 1 AND 5),
    CONSTRAINT ck_memories_ingestion_mode CHECK (ingestion_mode IN ('explicit', 'rules')),
    CONSTRAINT ck_memories_metadata_size CHECK (octet_length(metadata::text) <= 5120),
    CONSTRAINT ck_memories_embedding_status CHECK (embedding_status IN ('pending', 'done', 'failed')),
    CONSTRAINT fk_memories_owner_id FOREIGN KEY(owner_id) REFERENCES owners (id) ON DELETE CASCADE
);

CREATE INDEX ix_memories_owner_id_source_interaction_id ON memories (owner_id, source_interaction_id);

CREATE INDEX ix_memories_owner_id_user_id_created_at ON memories (owner_id, user_id, created_at);

-- One vector of an interaction or a memory, under the model that made it. `part` numbers several vectors of one text.
CREATE TABLE embeddings (
    id UUID NOT NULL,
    owner_id TEXT NOT NULL,
    user_id TEXT NOT NULL,
    interaction_id UUID,
    memory_id UUID,
    part INTEGER DEFAULT 0 NOT NULL,
    model_id INTEGER NOT NULL,
    embedding HALFVEC NOT NULL,
    CONSTRAINT pk_embeddings PRIMARY KEY (id),
    CONSTRAINT fk_embeddings_owner_id_user_id FOREIGN KEY(owner_id, user_id) REFERENCES users (owner_id, id) ON DELETE CASCADE,
    CONSTRAINT fk_embeddings_owner_id_interaction_id FOREIGN KEY(owner_id, interaction_id) REFERENCES interactions (owner_id, id) ON DELETE CASCADE,
    CONSTRAINT fk_embeddings_owner_id_memory_id FOREIGN KEY(owner_id, memory_id) REFERENCES memories (owner_id, id) ON DELETE CASCADE,
    CONSTRAINT uq_embeddings_interaction_id_part_model_id UNIQUE (interaction_id, part, model_id),
    CONSTRAINT uq_embeddings_memory_id_part_model_id UNIQUE (memory_id, part, model_id),
    CONSTRAINT ck_embeddings_one_source CHECK (num_nonnulls(interaction_id, memory_id) = 1),
    CONSTRAINT fk_embeddings_owner_id FOREIGN KEY(owner_id) REFERENCES owners (id) ON DELETE CASCADE,
    CONSTRAINT fk_embeddings_model_id FOREIGN KEY(model_id) REFERENCES embedding_models (id)
);

CREATE INDEX ix_embeddings_owner_id_user_id_model_id ON embeddings (owner_id, user_id, model_id);
