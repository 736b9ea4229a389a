-- Before exchanges, memories or feedback are erased: every dataset that holds one, and every adapter that learned from one of those (as its own
-- dataset, by replay, or through its parent), is marked as tainted. The first mark stays.
WITH RECURSIVE tainted_exports AS (
    UPDATE training_exports
    SET tainted_at = coalesce(tainted_at, now())
    WHERE id IN (
        SELECT training_export_id FROM training_export_rows WHERE interaction_id = ANY(:erased_ids)
        UNION ALL
        SELECT training_export_id FROM training_export_sources WHERE source_id = ANY(:erased_ids)
    )
    RETURNING export_id
),
learned AS (
    SELECT adapter_id
    FROM lora_versions
    WHERE export_id IN (SELECT export_id FROM tainted_exports)
       OR EXISTS (
           SELECT FROM jsonb_array_elements(manifest -> 'replay') AS replayed
           WHERE replayed ->> 'export_id' IN (SELECT export_id FROM tainted_exports)
       )
    UNION
    SELECT child.adapter_id
    FROM lora_versions AS child
    JOIN learned ON child.parent_adapter_id = learned.adapter_id
)
UPDATE lora_versions
SET tainted_at = now()
WHERE tainted_at IS NULL AND adapter_id IN (SELECT adapter_id FROM learned);
