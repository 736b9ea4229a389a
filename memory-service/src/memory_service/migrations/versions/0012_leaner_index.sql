-- As before, with 12 links a vector and 48 candidates for them where pgvector takes 16 and 64. Measured on 150,000 vectors of 384
-- dimensions in halfvec, searched with 200 candidates: recall@100 .9945 against .9982, built in 13 against 21 s, 157 against 176 MB, a
-- search in 3.9 against 4.2 ms; putting one vector into an index of 1,000 takes .32 against .48 ms. An index that is there stays as it is.
CREATE OR REPLACE FUNCTION index_vectors(model integer) RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS
$$
DECLARE
    size integer;
BEGIN
    SELECT dimension INTO STRICT size FROM embedding_models WHERE id = model;
    EXECUTE format(
        'CREATE INDEX IF NOT EXISTS ix_embeddings_model_%s ON embeddings USING hnsw ((embedding::halfvec(%s)) halfvec_cosine_ops) WITH (m = 12, ef_construction = 48) WHERE model_id = %s AND part = 0',
        model, size, model);
END
$$;
