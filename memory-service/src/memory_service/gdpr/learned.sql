-- What a viewer's exchanges, memories and opinions were used for: the datasets that hold one, the adapters that learned from one of those (as their
-- own dataset, by replay, or through a parent), and where those adapters were deployed.
WITH RECURSIVE exported AS (
    SELECT export_id
    FROM training_exports
    WHERE id IN (
        SELECT training_export_id
        FROM training_export_rows AS learned_from
        JOIN interactions ON interactions.id = learned_from.interaction_id
        WHERE interactions.user_id = :user_id
        UNION ALL
        SELECT training_export_id
        FROM training_export_sources
        WHERE source_id IN (
            SELECT id FROM interactions WHERE user_id = :user_id
            UNION ALL
            SELECT id FROM memories WHERE user_id = :user_id
            UNION ALL
            SELECT id FROM feedback WHERE user_id = :user_id
        )
    )
), learned AS (
    SELECT id, adapter_id
    FROM lora_versions
    WHERE export_id IN (SELECT export_id FROM exported)
       OR EXISTS (
           SELECT FROM jsonb_array_elements(manifest -> 'replay') AS replayed
           WHERE replayed ->> 'export_id' IN (SELECT export_id FROM exported)
       )
    UNION
    SELECT child.id, child.adapter_id
    FROM lora_versions AS child
    JOIN learned ON child.parent_adapter_id = learned.adapter_id
)
SELECT
    (SELECT coalesce(jsonb_agg(export_id ORDER BY export_id), '[]') FROM exported) AS exports,
    (SELECT coalesce(jsonb_agg(adapter_id ORDER BY adapter_id), '[]') FROM learned) AS adapters,
    (SELECT coalesce(jsonb_agg(jsonb_build_object(
        'id', deployments.id, 'adapter_id', learned.adapter_id, 'tag', tag, 'host', host,
        'live', live AND retired_at IS NULL) ORDER BY deployed_at, deployments.id), '[]')
     FROM deployments JOIN learned ON learned.id = lora_version_id) AS deployments;
