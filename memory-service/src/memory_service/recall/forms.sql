-- The words of a question, each in every form that stored texts are indexed under (Spanish stem, English stem, plain).
-- Words that only hold a sentence together are left out.
WITH word AS (
    SELECT DISTINCT
        lower(token) AS word,
        to_tsvector('spanish', token) AS spanish,
        to_tsvector('english', token) AS english,
        to_tsvector('simple', f_unaccent(token)) AS plain
    FROM ts_parse('default', f_words(:question))
    WHERE tokid <> 12 -- blanks and punctuation
),
-- Which words hold a sentence together is asked of the language that has more of them in this question ("son" is a family
-- member in English).
language AS (
    SELECT count(*) FILTER (WHERE spanish = '') - count(*) FILTER (WHERE english = '') AS spanish_lead FROM word
)
SELECT word, lexeme, current_setting('app.owner_id') AS owner_id
FROM word, language, unnest(tsvector_to_array(spanish || english || plain)) AS lexeme
WHERE NOT (spanish = '' AND spanish_lead >= 0) AND NOT (english = '' AND spanish_lead <= 0)
ORDER BY word, lexeme
