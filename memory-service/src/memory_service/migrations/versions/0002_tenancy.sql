-- The service's role. It owns nothing and cannot bypass row-level security. Roles belong to the whole server, so another
-- database's migration may have made it already.
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'casiopy_app') THEN
        CREATE ROLE casiopy_app NOLOGIN NOSUPERUSER NOBYPASSRLS NOCREATEDB NOCREATEROLE;
    END IF;
EXCEPTION WHEN duplicate_object OR unique_violation THEN
    NULL; -- made by a neighbour between the question and the answer
END
$$;

-- Whoever migrates may become it.
DO $$
BEGIN
    IF NOT pg_has_role(current_user, 'casiopy_app', 'MEMBER') THEN
        EXECUTE format('GRANT casiopy_app TO %I', current_user);
    END IF;
END
$$;

GRANT USAGE ON SCHEMA public TO casiopy_app;

-- Each tenant table: read and write rows, never TRUNCATE; only rows of the transaction's owner.
DO $$
DECLARE
    tenant_table text;
BEGIN
    FOREACH tenant_table IN ARRAY ARRAY[
        'api_keys', 'personas', 'core_memory', 'users', 'sessions', 'interactions', 'memories', 'embeddings', 'feedback',
        'topics', 'interaction_topics', 'training_exports', 'training_export_rows', 'lora_versions', 'deployments',
        'idempotent_requests'
    ] LOOP
        EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %I TO casiopy_app', tenant_table);
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', tenant_table);
        EXECUTE format(
            'CREATE POLICY owner_only ON %I USING (owner_id = current_setting(''app.owner_id'', true)) '
            'WITH CHECK (owner_id = current_setting(''app.owner_id'', true))', tenant_table);
    END LOOP;
END
$$;

-- Shared tables: the list of tenants (ids only) and of embedding models.
GRANT SELECT, INSERT ON owners TO casiopy_app;

GRANT SELECT, INSERT, UPDATE ON embedding_models TO casiopy_app;

GRANT USAGE ON SEQUENCE embedding_models_id_seq TO casiopy_app;

-- A key's owner, before any owner is known. Runs with its creator's rights because row-level security hides every key
-- until the owner is set; it answers only for a hash the caller already holds.
CREATE FUNCTION authenticate_key(hash bytea) RETURNS TABLE (key_id uuid, key_owner text, key_rate_limit integer)
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS
$$ UPDATE api_keys SET last_used_at = now() WHERE key_hash = hash AND revoked_at IS NULL
   RETURNING id, owner_id, rate_limit $$;

REVOKE ALL ON FUNCTION authenticate_key(bytea) FROM PUBLIC;

GRANT EXECUTE ON FUNCTION authenticate_key(bytea) TO casiopy_app;

-- Schema revision, readable for the health check once the first migration is recorded.
DO $$
BEGIN
    IF to_regclass('public.alembic_version') IS NOT NULL THEN
        GRANT SELECT ON alembic_version TO casiopy_app;
    END IF;
END
$$;

