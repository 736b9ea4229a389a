-- The same of a large memory, through the vector index that all tenants share. It is walked on until enough of what it meets
-- may be recalled: filtering its first finds would leave a small share of the store with fewer rows than there are, or none.
-- It meets rows roughly in order, so more are fetched than asked for, and the nearest of them returned in their order (the
-- nearest hundred of 20,000 among 100,000 vectors were found to 88 % with two times as many, to 98 % with six).
-- (What the model and the scope say is written in because a partial index is only used for constants; OFFSET keeps the filter inside
-- the scan; adding 0 makes the second order one of its own.)
WITH met AS MATERIALIZED (
    SELECT document_id AS id, embedding::halfvec({dimension}) <=> CAST(:vector AS halfvec({dimension})) AS distance
    FROM embeddings
    WHERE model_id = {model_id}
      AND part = 0
      AND (user_id = :user_id OR {everybody})
      AND owner_id = current_setting('app.owner_id')
      AND (
        SELECT true
        FROM recallable(:user_id, {everybody}, :persona_id, :session_id, :audiences, :as_of) AS document
        WHERE document.id = document_id
        OFFSET 0
      )
    ORDER BY embedding::halfvec({dimension}) <=> CAST(:vector AS halfvec({dimension}))
    LIMIT 6 * :candidates
)
SELECT id FROM met ORDER BY distance + 0, id LIMIT :candidates
