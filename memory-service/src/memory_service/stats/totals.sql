-- Every count of one persona in one row; interactions are read once. What is training-ready is also stated, for listing,
-- in interactions/repository.py, and a test holds both together.
WITH exchange AS (
    SELECT interaction.embedding_status,
           interaction.dropped,
           NOT interaction.dropped
               AND interaction.quality_score >= :min_quality
               AND interaction.output_text ~ '\S'
               AND NOT session.opt_out_training
               AND NOT viewer.opt_out_training AS training_ready
    FROM interactions AS interaction
    JOIN sessions AS session ON session.id = interaction.session_id
    JOIN users AS viewer ON viewer.owner_id = interaction.owner_id AND viewer.id = interaction.user_id
    WHERE interaction.persona_id = :persona_id
),
exchanges AS (
    SELECT count(*) AS interactions,
           count(*) FILTER (WHERE embedding_status = 'pending') AS pending_embeddings,
           count(*) FILTER (WHERE dropped) AS dropped,
           count(*) FILTER (WHERE training_ready) AS training_ready
    FROM exchange
),
conversations AS (
    SELECT count(*) AS sessions,
           count(*) FILTER (WHERE ended_at IS NULL) AS open_sessions,
           count(*) FILTER (WHERE opt_out_training) AS opted_out_sessions,
           count(DISTINCT user_id) AS users
    FROM sessions
    WHERE persona_id = :persona_id
),
entries AS (
    SELECT count(*) AS core_memory, count(*) FILTER (WHERE NOT is_mutable) AS immutable_core_memory
    FROM core_memory
    WHERE persona_id = :persona_id
),
opinions AS (
    SELECT count(*) AS feedback, avg(feedback.rating)::float8 AS mean_rating
    FROM feedback
    JOIN interactions AS interaction ON interaction.id = feedback.interaction_id
    WHERE interaction.persona_id = :persona_id
)
SELECT exchanges.*,
       conversations.*,
       entries.*,
       opinions.*,
       (SELECT count(*) FROM topics WHERE persona_id = :persona_id) AS topics,
       (SELECT count(*) FROM training_exports WHERE persona_id = :persona_id) AS exports,
       (SELECT count(*) FROM lora_versions WHERE persona_id = :persona_id) AS adapters,
       (SELECT count(*)
        FROM deployments
        JOIN lora_versions AS adapter ON adapter.id = deployments.lora_version_id
        WHERE adapter.persona_id = :persona_id) AS deployments
FROM exchanges, conversations, entries, opinions;
