-- An encrypted text brings its own keyed tokens (`blind`); a plain one is indexed by what it says.
ALTER TABLE interactions DROP COLUMN lexemes;

ALTER TABLE interactions
    ADD COLUMN blind TSVECTOR,
    ADD COLUMN lexemes TSVECTOR GENERATED ALWAYS AS (CASE WHEN starts_with(input_text, 'enc1~') THEN coalesce(blind, '') ELSE f_lexemes(input_text || ' ' || output_text) END) STORED NOT NULL;

CREATE INDEX ix_interactions_lexemes ON interactions USING gin (lexemes);

ALTER TABLE interactions
    DROP CONSTRAINT ck_interactions_input_length,
    DROP CONSTRAINT ck_interactions_output_length,
    ADD CONSTRAINT ck_interactions_input_length CHECK (length(input_text) BETWEEN 1 AND 32000 OR starts_with(input_text, 'enc1~')),
    ADD CONSTRAINT ck_interactions_output_length CHECK (length(output_text) <= 32000 OR starts_with(output_text, 'enc1~'));

-- The blind index's own key, sealed under ENCRYPTION_KEY: a new ENCRYPTION_KEY seals it again, and every token stays valid.
CREATE TABLE encryption_state (
    id INTEGER NOT NULL,
    sealed_index_key TEXT NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_encryption_state PRIMARY KEY (id),
    CONSTRAINT ck_encryption_state_one_row CHECK (id = 1)
);

GRANT SELECT, INSERT, UPDATE ON encryption_state TO casiopy_app;
