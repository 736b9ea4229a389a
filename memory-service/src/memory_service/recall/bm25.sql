-- Okapi BM25 (Robertson and others, TREC-3; the form with the always positive inverse document frequency) of a question over
-- what may be recalled.
--
-- A document is what was said together with the end of what was said just before it in the same session: a question and its
-- answer stand in two turns. Statistics are those of the documents that may be recalled, counted as they are now. A word
-- occurs as often as its most frequent form. `share` is the score over what the words are worth together, 0 … 1: words that
-- nobody said count as missing, so a question in another language gets a low one.
--
-- (Whether others' public documents count is written in: as a parameter it would keep PostgreSQL from reading one viewer's alone.)
WITH form AS MATERIALIZED (
    SELECT word, term, dense_rank() OVER (ORDER BY word) AS number -- numbers group faster than words
    FROM unnest(:words, :terms) AS form (word, term)
),
document AS MATERIALIZED (
    SELECT
        id,
        session_id,
        length,
        CASE WHEN session_id IS NOT NULL THEN lag(id) OVER reading END AS previous,
        length + CASE WHEN session_id IS NOT NULL THEN coalesce(lag(end_length) OVER reading, 0) ELSE 0 END AS read_length
    FROM recallable(:user_id, {everybody}, :persona_id, :session_id, :audiences, :as_of)
    WINDOW reading AS (PARTITION BY user_id, session_id ORDER BY said_at, id)
),
collection AS (
    SELECT count(*)::float8 AS documents, avg(read_length)::float8 AS mean_length FROM document
),
own AS MATERIALIZED (
    SELECT number, document_id, max(times) AS times, max(end_times) AS end_times
    FROM recall_terms
    JOIN form USING (term)
    WHERE owner_id = current_setting('app.owner_id')
      AND shelf = ANY (:shelves)
      AND term = ANY (:terms)
    GROUP BY number, document_id
),
counted AS MATERIALIZED ( -- how often each word occurs in a document
    SELECT number, id, sum(times)::float8 AS times
    FROM (
        SELECT number, document_id AS id, times FROM own
        UNION ALL
        SELECT number, document.id, end_times FROM own JOIN document ON previous = document_id WHERE end_times > 0
    ) AS occurrence
    WHERE id IN (SELECT id FROM document)
    GROUP BY number, id
),
worth AS MATERIALIZED ( -- of each word asked for, also of one that nobody said
    SELECT number, ln(1 + (documents - coalesce(said_in, 0) + 0.5) / (coalesce(said_in, 0) + 0.5)) AS idf
    FROM (SELECT DISTINCT number FROM form) AS asked
    CROSS JOIN collection
    LEFT JOIN (SELECT number, count(*)::float8 AS said_in FROM counted GROUP BY number) AS said USING (number)
),
best AS MATERIALIZED (
    SELECT id, sum(idf * times / (times + :k1 * (1 - :b + :b * read_length / mean_length))) AS score
    FROM counted
    JOIN worth USING (number)
    JOIN document USING (id)
    CROSS JOIN collection
    GROUP BY id
    ORDER BY score DESC, id
    LIMIT :candidates
),
shared AS ( -- the words that a document shares with the question, rarest first
    SELECT id, array_agg(word ORDER BY idf DESC, word) AS words
    FROM counted
    JOIN best USING (id)
    JOIN worth USING (number)
    JOIN (SELECT DISTINCT number, word FROM form) AS named USING (number)
    GROUP BY id
),
-- What each session is about: the same measure with sessions in place of documents, and without the names of who speaks.
session AS (
    SELECT session_id, sum(length)::float8 AS length, (count(*) OVER ())::float8 AS sessions, (avg(sum(length)) OVER ())::float8 AS mean_length
    FROM document
    WHERE session_id IS NOT NULL
    GROUP BY session_id
),
session_word AS (
    SELECT number, session_id, sum(times)::float8 AS times, (count(*) OVER (PARTITION BY number))::float8 AS said_in
    FROM own
    JOIN document ON document.id = document_id
    WHERE session_id IS NOT NULL
      AND number NOT IN (SELECT number FROM form WHERE word = ANY (:names))
    GROUP BY number, session_id
),
topic AS MATERIALIZED (
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
    best.score,
    best.score / (SELECT sum(idf) FROM worth) AS share,
    rank() OVER (ORDER BY best.score DESC) AS rank,
    words,
    coalesce(topic.score / (SELECT nullif(max(score), 0) FROM topic), 0) AS topic
FROM best
JOIN document USING (id)
JOIN shared USING (id)
LEFT JOIN topic USING (session_id)
ORDER BY best.score DESC, id
