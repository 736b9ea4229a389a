-- Interactions of one persona by tenth of the score (kind 'score', 0 to 9) and by UTC day (kind 'day').
SELECT 'score' AS kind,
       least(width_bucket(quality_score, 0, 1, 10), 10) - 1 AS tenth,
       NULL::date AS day,
       count(*) AS interactions
FROM interactions
WHERE persona_id = :persona_id
GROUP BY tenth
UNION ALL
(SELECT 'day', NULL, (occurred_at AT TIME ZONE 'UTC')::date AS occurred_on, count(*)
 FROM interactions
 WHERE persona_id = :persona_id
 GROUP BY occurred_on
 ORDER BY occurred_on DESC
 LIMIT 366)
ORDER BY kind, tenth, day;
