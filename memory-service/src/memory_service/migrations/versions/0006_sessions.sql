-- The id a client gave a session, where it brought its own.
ALTER TABLE sessions
    ADD COLUMN name TEXT,
    ADD CONSTRAINT uq_sessions_owner_id_name UNIQUE (owner_id, name),
    ADD CONSTRAINT ck_sessions_name_length CHECK (length(name) BETWEEN 1 AND 128);

-- What a conversation was about so far, and up to which exchange it says so.
CREATE TABLE session_summaries (
    session_id UUID NOT NULL,
    owner_id TEXT NOT NULL,
    text TEXT NOT NULL,
    covers_until TIMESTAMP WITH TIME ZONE,
    covers_interaction_id UUID,
    written_by TEXT NOT NULL,
    model_version TEXT,
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_session_summaries PRIMARY KEY (session_id),
    CONSTRAINT fk_session_summaries_owner_id_session_id FOREIGN KEY(owner_id, session_id) REFERENCES sessions (owner_id, id) ON DELETE CASCADE,
    CONSTRAINT ck_session_summaries_written_by CHECK (written_by IN ('model', 'operator')),
    CONSTRAINT fk_session_summaries_owner_id FOREIGN KEY(owner_id) REFERENCES owners (id) ON DELETE CASCADE
);

GRANT SELECT, INSERT, UPDATE, DELETE ON session_summaries TO casiopy_app;

ALTER TABLE session_summaries ENABLE ROW LEVEL SECURITY;

CREATE POLICY owner_only ON session_summaries USING (owner_id = current_setting('app.owner_id', true))
WITH CHECK (owner_id = current_setting('app.owner_id', true));

-- A summary tells what was said: once an exchange that it covers is erased, so is what a model wrote of it.
CREATE FUNCTION forget_summary() RETURNS TRIGGER LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM session_summaries
    WHERE session_id = OLD.session_id AND written_by = 'model'
      AND (covers_until, covers_interaction_id) >= (OLD.occurred_at, OLD.id);
    RETURN NULL;
END;
$$;

CREATE TRIGGER interactions_forget_summary AFTER DELETE ON interactions FOR EACH ROW EXECUTE FUNCTION forget_summary();
