-- Okapi BM25 (Robertson and others, TREC-3; the form with the always positive inverse document frequency) of a question over
-- what may be recalled.
--
-- A document is what was said together with the end of what was said just before it in the same session: a question and its
-- answer stand in two turns. Statistics are those of the documents that may be recalled, counted as they are now. A word
-- occurs as often as its most frequent form. `share` is the score over what the words are worth together, 0 … 1: words that
-- nobody said count as missing, so a question in another language gets a low one.
WITH form AS MATERIALIZED (
    SELECT word, term FROM unnest(:words, :terms) AS form (word, term)
),
document AS MATERIALIZED (
    SELECT
        id,
        session_id,
        length,
        CASE WHEN session_id IS NOT NULL THEN lag(id) OVER reading END AS previous,
        CASE WHEN session_id IS NOT NULL THEN lag(end_length) OVER reading END AS previous_end
    FROM recallable(:user_id, :everybody, :persona_id, :session_id, :audiences, :as_of)
    WINDOW reading AS (PARTITION BY user_id, session_id ORDER BY said_at, id)
),
collection AS (
    SELECT count(*)::float8 AS documents, avg(length + coalesce(previous_end, 0))::float8 AS mean_length FROM document
),
own AS MATERIALIZED (
    SELECT word, document_id, max(times) AS times, max(end_times) AS end_times
    FROM recall_terms
    JOIN form USING (term)
    WHERE owner_id = current_setting('app.owner_id')
      AND shelf = ANY (:shelves)
      AND term = ANY (:terms)
    GROUP BY word, document_id
),
occurrence AS (
    SELECT word, document_id AS id, times FROM own
    UNION ALL
    SELECT word, document.id, end_times FROM own JOIN document ON previous = document_id WHERE end_times > 0
),
counted AS MATERIALIZED (
    SELECT word, id, length + coalesce(previous_end, 0) AS length, sum(times)::float8 AS times, count(*) OVER (PARTITION BY word) AS documents
    FROM occurrence
    JOIN document USING (id)
    GROUP BY word, id, length, previous_end
),
worth AS ( -- of each word asked for, also of one that nobody said
    SELECT word, ln(1 + (collection.documents - coalesce(said.documents, 0) + 0.5) / (coalesce(said.documents, 0) + 0.5)) AS idf
    FROM (SELECT DISTINCT word FROM form) AS asked
    CROSS JOIN collection
    LEFT JOIN (SELECT DISTINCT word, documents FROM counted) AS said USING (word)
),
scored AS (
    SELECT
        id,
        sum(idf * times / (times + :k1 * (1 - :b + :b * length / mean_length))) AS score,
        array_agg(word ORDER BY idf DESC, word) AS words
    FROM counted
    JOIN worth USING (word)
    CROSS JOIN collection
    GROUP BY id
),
-- What each session is about: the same measure with sessions in place of documents, and without the names of who speaks.
session AS (
    SELECT session_id, sum(length) AS length, (count(*) OVER ())::float8 AS sessions, (avg(sum(length)) OVER ())::float8 AS mean_length
    FROM document
    WHERE session_id IS NOT NULL
    GROUP BY session_id
),
session_word AS (
    SELECT word, session_id, sum(times)::float8 AS times, count(*) OVER (PARTITION BY word) AS said_in
    FROM own
    JOIN document ON document.id = document_id
    WHERE session_id IS NOT NULL AND word <> ALL (:names)
    GROUP BY word, session_id
),
topic AS (
    SELECT session_id, sum(
        ln(1 + (sessions - said_in + 0.5) / (said_in + 0.5))
        * times / (times + :k1 * (1 - :b + :b * session.length / session.mean_length))) AS score
    FROM session_word
    JOIN session USING (session_id)
    GROUP BY session_id
)
SELECT
    id,
    session_id,
    scored.score,
    scored.score / (SELECT sum(idf) FROM worth) AS share,
    rank() OVER (ORDER BY scored.score DESC) AS rank,
    scored.words,
    coalesce(topic.score / nullif(max(topic.score) OVER (), 0), 0) AS topic
FROM scored
JOIN document USING (id)
LEFT JOIN topic USING (session_id)
ORDER BY scored.score DESC, id
LIMIT :candidates
