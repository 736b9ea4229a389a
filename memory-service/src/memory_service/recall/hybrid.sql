-- The exchanges of one viewer with one persona, and what is known of the viewer (current typed memories, every persona's
-- or this one's), that come nearest to a question, by meaning and by words, with both scores.
--
-- By words: each word of the question counts by how rare it is among the viewer's own rows (the inverse document
-- frequency that ts_rank lacks) times how often the row says it; of a word's forms (Spanish stem, English stem, plain)
-- the best one counts. By meaning: the cosine of the vectors, over every row of the viewer, never through an
-- approximate index. Row-level security keeps it within the owner.
--
-- Nothing here is a join on equal ids but the full join at the end, which PostgreSQL never does row by row: of a viewer new
-- to its statistics it expects one row, and would go through all of them for each (26 ms instead of 8 over 681 turns).
WITH form AS MATERIALIZED ( -- each query is built once, not once per row
    SELECT number, word, query::tsquery AS query
    FROM unnest(:words, :queries) WITH ORDINALITY AS form (word, query, number)
),
mine AS MATERIALIZED (
    SELECT id, lexemes, 'interaction' AS source
    FROM interactions
    WHERE user_id = :user_id
      AND persona_id = :persona_id
      AND (CAST(:session_id AS uuid) IS NULL OR session_id = :session_id)
    UNION ALL
    SELECT id, lexemes, 'memory' AS source
    FROM memories
    WHERE user_id = :user_id
      AND (persona_id IS NULL OR persona_id = :persona_id)
      AND CAST(:session_id AS uuid) IS NULL -- a memory is of no session
      AND NOT is_deleted
      AND valid_to IS NULL
      AND (expires_at IS NULL OR expires_at > now())
),
found AS (
    SELECT
        mine.id,
        mine.source,
        form.word,
        ts_rank(mine.lexemes, form.query) AS frequency,
        count(*) OVER (PARTITION BY form.number) AS documents,
        (SELECT count(*) FROM mine) AS total
    FROM mine
    JOIN form ON mine.lexemes @@ form.query
),
best_form AS MATERIALIZED ( -- each query is built once, not once per row
    SELECT id, source, word, max(frequency * ln(1 + (total - documents + 0.5) / (documents + 0.5))) AS score
    FROM found
    GROUP BY id, source, word
),
lexical AS (
    SELECT id, source, sum(score) AS score, rank() OVER (ORDER BY sum(score) DESC) AS rank, array_agg(word ORDER BY score DESC, word) AS words
    FROM best_form
    GROUP BY id, source
),
near AS (
    SELECT id, source, CAST(NULL AS float8) AS distance
    FROM mine
    UNION ALL
    SELECT coalesce(interaction_id, memory_id), NULL, embedding <=> CAST(:vector AS halfvec)
    FROM embeddings
    WHERE user_id = :user_id
      AND model_id = :model_id
      AND CAST(:vector AS halfvec) IS NOT NULL
),
dense AS (
    SELECT id, max(source) AS source, 1 - min(distance) AS score, rank() OVER (ORDER BY min(distance)) AS rank
    FROM near
    GROUP BY id
    HAVING count(source) > 0 AND count(distance) > 0 -- one of `mine`, and it has a vector
)
SELECT
    id,
    coalesce(dense.source, lexical.source) AS source,
    dense.score AS dense_score,
    dense.rank AS dense_rank,
    (SELECT min(score) FROM dense) AS dense_low,
    (SELECT max(score) FROM dense) AS dense_high,
    lexical.score AS lexical_score,
    lexical.rank AS lexical_rank,
    (SELECT max(score) FROM lexical) AS lexical_high,
    lexical.words
FROM dense
FULL JOIN lexical USING (id)
WHERE dense.rank <= :candidates
   OR lexical.rank <= :candidates
