-- Which of these terms name somebody who speaks in the viewer's memories.
SELECT mark
FROM unnest(:terms) AS asked (mark)
WHERE EXISTS (
    SELECT FROM recall_terms WHERE owner_id = current_setting('app.owner_id') AND shelf = ANY (:shelves) AND term = mark
)
