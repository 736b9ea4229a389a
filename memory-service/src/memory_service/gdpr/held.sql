-- How much is held of a viewer. Feedback: what others thought of the exchanges, and what the viewer thought of any.
-- Memories: the viewer's own, and those made from the viewer's exchanges.
WITH said AS (SELECT id FROM interactions WHERE user_id = :user_id)
SELECT
    (SELECT count(*) FROM sessions WHERE user_id = :user_id) AS sessions,
    (SELECT count(*) FROM said) AS interactions,
    (SELECT count(*) FROM memories
     WHERE user_id = :user_id OR source_interaction_id IN (SELECT id FROM said)) AS memories,
    (SELECT count(*) FROM feedback
     WHERE user_id = :user_id OR interaction_id IN (SELECT id FROM said)) AS feedback,
    (SELECT count(*) FROM session_summaries
     WHERE session_id IN (SELECT id FROM sessions WHERE user_id = :user_id)) AS summaries,
    (SELECT count(*) FROM embeddings WHERE user_id = :user_id) AS vectors;
