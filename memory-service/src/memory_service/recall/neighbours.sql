-- What completes a turn that has one side: the question it answers, just before it in its session, and the answer to what it
-- asks, just after it; both only where they may be recalled themselves. What stands next to a turn is decided among all there
-- is: over a turn that must not be told, the next one but one is not its answer.
WITH adjacent AS MATERIALIZED (
    SELECT hit.id AS hit, 'before' AS place, (
        SELECT earlier.id
        FROM recall_documents AS earlier
        WHERE earlier.owner_id = hit.owner_id
          AND earlier.user_id = hit.user_id
          AND earlier.session_id = hit.session_id
          AND (earlier.said_at, earlier.id) < (hit.said_at, hit.id)
        ORDER BY earlier.said_at DESC, earlier.id DESC
        LIMIT 1
    ) AS id
    FROM recall_documents AS hit
    WHERE hit.id = ANY (:ids)
    UNION ALL
    SELECT hit.id, 'after', (
        SELECT later.id
        FROM recall_documents AS later
        WHERE later.owner_id = hit.owner_id
          AND later.user_id = hit.user_id
          AND later.session_id = hit.session_id
          AND (later.said_at, later.id) > (hit.said_at, hit.id)
        ORDER BY later.said_at, later.id
        LIMIT 1
    )
    FROM recall_documents AS hit
    WHERE hit.id = ANY (:ids) AND hit.asks
)
SELECT
    adjacent.hit,
    adjacent.place,
    coalesce(near.interaction_id, near.memory_id) AS id,
    near.user_id,
    (SELECT input_text FROM interactions WHERE id = near.interaction_id) AS input_text,
    (SELECT output_text FROM interactions WHERE id = near.interaction_id) AS output_text,
    (SELECT dropped FROM interactions WHERE id = near.interaction_id) AS dropped,
    (SELECT content FROM memories WHERE id = near.memory_id) AS content
FROM adjacent
JOIN recallable(:user_id, :everybody, :persona_id, :session_id, :audiences, :as_of) AS near USING (id)
WHERE near.id = ANY (ARRAY(SELECT id FROM adjacent))
  AND (place = 'after' OR near.asks)
