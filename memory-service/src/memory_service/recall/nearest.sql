-- The documents of a small memory whose whole texts come nearest to the question: every vector is looked at.
SELECT document.id
FROM recallable(:user_id, {everybody}, :persona_id, :session_id, :audiences, :as_of) AS document
JOIN embeddings ON document_id = document.id AND model_id = {model_id} AND part = 0
WHERE embeddings.user_id = :user_id OR {everybody}
ORDER BY embedding <=> CAST(:vector AS halfvec), document.id
LIMIT :candidates
