-- What tells candidates apart: how near each comes to the question as a whole, in its best passage, and in what was said just
-- before it; who speaks; whether it asks or tells a time; what a typed memory is worth.
--
-- Vectors are looked up document by document: PostgreSQL, which takes the candidates for few, would compare each with each.
--
-- The last of the statements that words.sql sets the planner for: what fetches a few rows by their ids does so row by row again.
WITH settings AS MATERIALIZED (
    SELECT set_config('enable_nestloop', 'on', true),
           set_config('enable_mergejoin', 'on', true),
           CAST(:vector AS halfvec) AS vector
),
candidate AS MATERIALIZED (
    SELECT document.*, previous.id AS previous
    FROM recall_documents AS document
    LEFT JOIN LATERAL (
        SELECT earlier.id
        FROM recallable(:user_id, :everybody, :persona_id, :session_id, :audiences, :as_of) AS earlier
        WHERE earlier.user_id = document.user_id
          AND earlier.session_id = document.session_id
          AND (earlier.said_at, earlier.id) < (document.said_at, document.id)
        ORDER BY earlier.said_at DESC, earlier.id DESC
        LIMIT 1
    ) AS previous ON true
    WHERE document.id = ANY (:ids)
),
spoken AS (
    SELECT DISTINCT document_id
    FROM recall_terms
    WHERE owner_id = current_setting('app.owner_id') AND shelf = ANY (:shelves) AND term = ANY (:speakers)
)
SELECT
    candidate.id,
    candidate.interaction_id,
    candidate.memory_id,
    candidate.session_id,
    candidate.said_at,
    candidate.asks,
    candidate.tells_when,
    candidate.length,
    candidate.previous,
    own.whole AS cosine,
    own.best,
    (SELECT 1 - (embedding <=> settings.vector)
     FROM embeddings
     WHERE document_id = candidate.previous AND model_id = :model_id AND part = 0) AS previous_cosine,
    spoken.document_id IS NOT NULL AS spoken,
    (SELECT importance FROM memories WHERE id = candidate.memory_id) AS importance,
    (SELECT confidence FROM memories WHERE id = candidate.memory_id) AS confidence
FROM settings
CROSS JOIN candidate
CROSS JOIN LATERAL (
    SELECT max(cosine) FILTER (WHERE part = 0) AS whole, max(cosine) AS best
    FROM (
        SELECT part, 1 - (embedding <=> settings.vector) AS cosine
        FROM embeddings
        WHERE document_id = candidate.id AND model_id = :model_id
    ) AS near
) AS own
LEFT JOIN spoken ON spoken.document_id = candidate.id
