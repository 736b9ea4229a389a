-- A person may correct a reply, or swipe others away for it, without rating it.
ALTER TABLE feedback
    ALTER COLUMN rating DROP NOT NULL,
    ADD COLUMN discarded_outputs JSONB DEFAULT '[]'::jsonb NOT NULL;

-- A row of a dataset knows all that its manifest says of it; an exchange may stand in several.
ALTER TABLE training_export_rows
    ADD COLUMN place INTEGER DEFAULT 0 NOT NULL,
    ADD COLUMN session_id UUID,
    ADD COLUMN quality_score FLOAT(53),
    ADD COLUMN evidence TEXT,
    DROP CONSTRAINT pk_training_export_rows,
    ADD CONSTRAINT pk_training_export_rows PRIMARY KEY (training_export_id, interaction_id, row_number, split);

CREATE INDEX ix_training_export_rows_training_export_id_split_row_number ON training_export_rows (training_export_id, split, row_number);

UPDATE training_export_rows AS learned
SET place = entry.place, session_id = (entry.of ->> 'session_id')::uuid, quality_score = (entry.of ->> 'quality_score')::float8
FROM training_exports AS export, jsonb_array_elements(export.manifest -> 'rows') WITH ORDINALITY AS entry (of, place)
WHERE learned.training_export_id = export.id AND learned.interaction_id = (entry.of ->> 'interaction_id')::uuid;

UPDATE training_exports SET manifest = (manifest - 'rows') || jsonb_build_object('exchanges', jsonb_array_length(manifest -> 'rows'))
WHERE manifest ? 'rows';

-- What else stands in a dataset: a memory or an exchange that was recalled for one of its rows, or a person's feedback.
CREATE TABLE training_export_sources (
    training_export_id UUID NOT NULL,
    source_id UUID NOT NULL,
    owner_id TEXT NOT NULL,
    CONSTRAINT pk_training_export_sources PRIMARY KEY (training_export_id, source_id),
    CONSTRAINT fk_training_export_sources_owner_id_training_export_id FOREIGN KEY(owner_id, training_export_id) REFERENCES training_exports (owner_id, id) ON DELETE CASCADE,
    CONSTRAINT fk_training_export_sources_owner_id FOREIGN KEY(owner_id) REFERENCES owners (id) ON DELETE CASCADE
);

CREATE INDEX ix_training_export_sources_owner_id_source_id ON training_export_sources (owner_id, source_id);

GRANT SELECT, INSERT, UPDATE, DELETE ON training_export_sources TO casiopy_app;

ALTER TABLE training_export_sources ENABLE ROW LEVEL SECURITY;

CREATE POLICY owner_only ON training_export_sources
USING (owner_id = current_setting('app.owner_id', true)) WITH CHECK (owner_id = current_setting('app.owner_id', true));
