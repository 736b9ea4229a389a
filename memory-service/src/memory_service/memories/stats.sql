-- A user's memories in numbers: current ones by type and importance, and how many were deleted or have expired.
WITH mine AS (
    SELECT
        type,
        importance,
        created_at,
        is_deleted,
        coalesce(expires_at <= now(), false) AS expired,
        valid_to IS NOT NULL AS ended
    FROM memories
    WHERE user_id = :user_id
),
live AS (
    SELECT * FROM mine WHERE NOT is_deleted AND NOT expired AND NOT ended
)
SELECT
    (SELECT count(*) FROM live) AS total,
    (SELECT count(*) FROM mine WHERE is_deleted) AS deleted,
    (SELECT count(*) FROM mine WHERE expired AND NOT is_deleted) AS expired,
    (SELECT coalesce(jsonb_object_agg(type, amount), '{}') FROM (SELECT type, count(*) AS amount FROM live GROUP BY type) AS types) AS by_type,
    (
        SELECT coalesce(jsonb_object_agg(importance, amount), '{}')
        FROM (SELECT importance, count(*) AS amount FROM live WHERE importance IS NOT NULL GROUP BY importance) AS levels
    ) AS by_importance,
    (SELECT min(created_at) FROM live) AS oldest,
    (SELECT max(created_at) FROM live) AS newest
