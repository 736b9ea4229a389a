-- The same of a large memory, through the vector index that all tenants share. It is walked on until enough of what it meets
-- may be recalled: filtering its first finds would leave a small share of the store with fewer rows than there are, or none.
-- (Numbers of the model are written in because a partial index is only used for constants; OFFSET keeps the filter inside
-- the scan.)
SELECT document_id AS id
FROM embeddings
WHERE model_id = {model_id}
  AND part = 0
  AND (user_id = :user_id OR :everybody)
  AND owner_id = current_setting('app.owner_id')
  AND (
    SELECT true
    FROM recallable(:user_id, :everybody, :persona_id, :session_id, :audiences, :as_of) AS document
    WHERE document.id = document_id
    OFFSET 0
  )
ORDER BY embedding::halfvec({dimension}) <=> CAST(:vector AS halfvec({dimension}))
LIMIT :candidates
