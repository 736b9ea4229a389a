-- A question's words, each with the terms it may be indexed under (Spanish stem, English stem, plain, root). Words that only hold a
-- sentence together are left out. And whether there is much that may be recalled; counting stops where that is known.
--
-- The settings hold until the transaction ends. Joins row by row, or of sorted rows, are never cheaper here, but of a
-- viewer new to its statistics PostgreSQL expects one row and would take them (26 ms instead of 8 over 681 turns); planning anew
-- for each question costs 3 ms.
WITH settings AS MATERIALIZED (
    SELECT set_config('enable_nestloop', 'off', true),
           set_config('enable_mergejoin', 'off', true),
           set_config('plan_cache_mode', 'force_generic_plan', true),
           set_config('hnsw.iterative_scan', 'relaxed_order', true),
           set_config('hnsw.ef_search', '200', true),
           set_config('hnsw.max_scan_tuples', '200000', true)
),
word AS (
    SELECT DISTINCT
        lower(token) AS word,
        to_tsvector('spanish', token) AS spanish,
        to_tsvector('english', token) AS english,
        to_tsvector('casiopy_plain', f_unaccent(token)) AS plain
    FROM ts_parse('default', f_words(:question))
    WHERE tokid <> 12 -- blanks and punctuation
),
-- Which words hold a sentence together is asked of the language that has more of them in this question ("son" is a family
-- member in English).
language AS (
    SELECT count(*) FILTER (WHERE spanish = '') - count(*) FILTER (WHERE english = '') AS spanish_lead FROM word
),
asked AS (
    SELECT word, lexeme
    FROM word
    CROSS JOIN language
    CROSS JOIN LATERAL (
        SELECT unnest(tsvector_to_array(spanish || english || plain))
        UNION
        SELECT f_root(one) FROM unnest(tsvector_to_array(plain)) AS one WHERE f_root(one) IS NOT NULL
    ) AS form (lexeme)
    WHERE NOT (spanish = '' AND spanish_lead >= 0) AND NOT (english = '' AND spanish_lead <= 0)
),
-- (Two index-only scans, which `recallable` would not be: it asks more of a document than the indexes hold. What has been retired
-- or has run out is so counted, too.)
own AS (
    SELECT count(*) AS documents, count(*) FILTER (WHERE audience = 'public') AS heard_by_all
    FROM (
        SELECT audience
        FROM recall_documents
        WHERE owner_id = current_setting('app.owner_id')
          AND user_id = :user_id
          AND (:session_id IS NULL OR session_id = :session_id)
          AND (persona_id IS NULL OR persona_id = :persona_id)
          AND audience = ANY (:audiences)
        LIMIT :large
    ) AS counted
),
public AS ( -- the viewer's own among them
    SELECT count(*) AS documents
    FROM (
        SELECT FROM recall_documents
        WHERE {everybody}
          AND :session_id IS NULL
          AND owner_id = current_setting('app.owner_id')
          AND (persona_id IS NULL OR persona_id = :persona_id)
          AND audience = 'public'
        LIMIT :large
    ) AS counted
)
SELECT word, lexeme, current_setting('app.owner_id') AS owner_id, own.documents + greatest(public.documents - heard_by_all, 0) >= :large AS is_large
FROM settings, own, public
LEFT JOIN asked ON true
ORDER BY word, lexeme
