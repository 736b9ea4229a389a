-- Which of these terms name somebody who speaks in the viewer's memories. (OFFSET keeps the question inside: one look at the
-- index for each term, instead of a join with the whole shelf.)
SELECT mark
FROM unnest(:terms) AS asked (mark)
WHERE (
    SELECT true
    FROM recall_terms
    WHERE owner_id = current_setting('app.owner_id') AND shelf = ANY (:shelves) AND term = mark
    OFFSET 0
    LIMIT 1
)
