-- The exchanges of one viewer with one persona that come nearest to a question, by meaning and by words, with both scores.
--
-- By words: each word of the question counts by how rare it is among the viewer's own exchanges (the inverse document
-- frequency that ts_rank lacks) times how often the exchange says it; of a word's forms (Spanish stem, English stem, plain)
-- the best one counts. By meaning: the cosine of the vectors, over every exchange of the viewer, never through an
-- approximate index. Row-level security keeps it within the owner.
WITH word AS (
    SELECT DISTINCT
        lower(token) AS word,
        to_tsvector('spanish', token) AS spanish,
        to_tsvector('english', token) AS english,
        to_tsvector('simple', f_unaccent(token)) AS plain
    FROM ts_parse('default', f_words(:question))
    WHERE tokid <> 12 -- blanks and punctuation
),
-- Words that only hold a sentence together, in the language that has more of them in this question ("son" is a family
-- member in English).
language AS (
    SELECT count(*) FILTER (WHERE spanish = '') - count(*) FILTER (WHERE english = '') AS spanish_lead FROM word
),
form AS MATERIALIZED ( -- each query is built once, not once per exchange
    SELECT word, lexeme, ('''' || replace(replace(lexeme, '\', '\\'), '''', '''''') || '''')::tsquery AS query
    FROM word, language, unnest(tsvector_to_array(spanish || english || plain)) AS lexeme
    WHERE NOT (spanish = '' AND spanish_lead >= 0) AND NOT (english = '' AND spanish_lead <= 0)
),
mine AS MATERIALIZED (
    SELECT id, lexemes, content_hash
    FROM interactions
    WHERE user_id = :user_id
      AND persona_id = :persona_id
      AND (CAST(:session_id AS uuid) IS NULL OR session_id = :session_id)
),
found AS (
    SELECT
        mine.id,
        form.word,
        ts_rank(mine.lexemes, form.query) AS frequency,
        count(*) OVER (PARTITION BY form.word, form.lexeme) AS documents
    FROM mine
    JOIN form ON mine.lexemes @@ form.query
),
best_form AS MATERIALIZED ( -- each query is built once, not once per exchange
    SELECT id, word, max(frequency * ln(1 + (total - documents + 0.5) / (documents + 0.5))) AS score
    FROM found, (SELECT count(*) AS total FROM mine) AS all_mine
    GROUP BY id, word
),
lexical AS (
    SELECT id, sum(score) AS score, rank() OVER (ORDER BY sum(score) DESC) AS rank, array_agg(word ORDER BY score DESC, word) AS words
    FROM best_form
    GROUP BY id
),
dense AS (
    SELECT
        interaction_id AS id,
        max(1 - (embedding <=> CAST(:vector AS halfvec))) AS score,
        rank() OVER (ORDER BY min(embedding <=> CAST(:vector AS halfvec))) AS rank
    FROM embeddings
    JOIN mine ON mine.id = interaction_id
    WHERE embeddings.user_id = :user_id
      AND model_id = :model_id
      AND CAST(:vector AS halfvec) IS NOT NULL
    GROUP BY interaction_id
)
SELECT
    id,
    dense.score AS dense_score,
    dense.rank AS dense_rank,
    (SELECT min(score) FROM dense) AS dense_low,
    (SELECT max(score) FROM dense) AS dense_high,
    lexical.score AS lexical_score,
    lexical.rank AS lexical_rank,
    (SELECT max(score) FROM lexical) AS lexical_high,
    lexical.words,
    content_hash
FROM dense
FULL JOIN lexical USING (id)
JOIN mine USING (id)
WHERE dense.rank <= :candidates
   OR lexical.rank <= :candidates
