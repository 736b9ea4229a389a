-- The chain interaction → export → adapter → deployment, asked from either end. Two named statements, a sentence above each.
-- Row-level security keeps them within one owner. An adapter learned from its own dataset, from replayed ones, and from
-- everything its parents learned from.

-- from_interaction: every dataset that holds the exchange, every adapter that learned from one of them or was trained on
-- top of one that did, and where those are deployed.
WITH RECURSIVE exported AS (
    SELECT e.*
    FROM training_export_rows AS r
    JOIN training_exports AS e ON e.id = r.training_export_id
    WHERE r.interaction_id = :interaction_id
), learned AS (
    SELECT v.id, v.adapter_id
    FROM lora_versions AS v
    WHERE v.export_id IN (SELECT export_id FROM exported)
       OR EXISTS (
           SELECT FROM jsonb_array_elements(v.manifest -> 'replay') AS replayed
           WHERE replayed ->> 'export_id' IN (SELECT export_id FROM exported)
       )
    UNION
    SELECT child.id, child.adapter_id
    FROM lora_versions AS child
    JOIN learned ON child.parent_adapter_id = learned.adapter_id
)
SELECT
    (SELECT coalesce(jsonb_agg(known.id), '[]') FROM (
        SELECT id FROM interactions WHERE id = :interaction_id
        UNION
        SELECT interaction_id FROM training_export_rows WHERE interaction_id = :interaction_id
    ) AS known) AS interactions,
    (SELECT coalesce(jsonb_agg(jsonb_build_object(
        'export_id', export_id, 'type', type, 'week', manifest -> 'week', 'created_at', created_at,
        'dataset_sha256', dataset_sha256, 'tainted_at', tainted_at) ORDER BY created_at, export_id), '[]')
     FROM exported) AS exports,
    (SELECT coalesce(jsonb_agg(jsonb_build_object(
        'adapter_id', v.adapter_id, 'layer', v.layer, 'status', v.status, 'verdict', v.verdict, 'export_id', v.export_id,
        'parent', v.manifest -> 'parent', 'dataset', v.manifest -> 'dataset', 'created_at', v.created_at,
        'tainted_at', v.tainted_at) ORDER BY v.created_at, v.adapter_id), '[]')
     FROM lora_versions AS v JOIN learned USING (id)) AS adapters,
    (SELECT coalesce(jsonb_agg(jsonb_build_object(
        'adapter_id', learned.adapter_id, 'tag', d.tag, 'host', d.host, 'live', d.live AND d.retired_at IS NULL,
        'deployed_at', d.deployed_at, 'retired_at', d.retired_at) ORDER BY d.deployed_at, d.id), '[]')
     FROM deployments AS d JOIN learned ON learned.id = d.lora_version_id) AS deployments;

-- from_adapter: its parents, every dataset they and it learned from, every exchange in those, and where it is deployed.
WITH RECURSIVE taught AS (
    SELECT v.* FROM lora_versions AS v WHERE v.adapter_id = :adapter_id
    UNION
    SELECT parent.* FROM lora_versions AS parent JOIN taught ON parent.adapter_id = taught.parent_adapter_id
), exported AS (
    SELECT e.*
    FROM training_exports AS e
    WHERE e.export_id IN (SELECT export_id FROM taught)
       OR e.export_id IN (SELECT replayed ->> 'export_id' FROM taught, jsonb_array_elements(manifest -> 'replay') AS replayed)
)
SELECT
    (SELECT coalesce(jsonb_agg(DISTINCT r.interaction_id), '[]')
     FROM training_export_rows AS r JOIN exported ON exported.id = r.training_export_id) AS interactions,
    (SELECT coalesce(jsonb_agg(jsonb_build_object(
        'export_id', export_id, 'type', type, 'week', manifest -> 'week', 'created_at', created_at,
        'dataset_sha256', dataset_sha256, 'tainted_at', tainted_at) ORDER BY created_at, export_id), '[]')
     FROM exported) AS exports,
    (SELECT coalesce(jsonb_agg(jsonb_build_object(
        'adapter_id', adapter_id, 'layer', layer, 'status', status, 'verdict', verdict, 'export_id', export_id,
        'parent', manifest -> 'parent', 'dataset', manifest -> 'dataset', 'created_at', created_at,
        'tainted_at', tainted_at) ORDER BY created_at, adapter_id), '[]')
     FROM taught) AS adapters,
    (SELECT coalesce(jsonb_agg(jsonb_build_object(
        'adapter_id', taught.adapter_id, 'tag', d.tag, 'host', d.host, 'live', d.live AND d.retired_at IS NULL,
        'deployed_at', d.deployed_at, 'retired_at', d.retired_at) ORDER BY d.deployed_at, d.id), '[]')
     FROM deployments AS d JOIN taught ON taught.id = d.lora_version_id
     WHERE taught.adapter_id = :adapter_id) AS deployments;
