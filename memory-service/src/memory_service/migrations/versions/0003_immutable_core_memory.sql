-- Immutable core memory is the database's promise: no role, not even the tables' owner, changes or deletes such a row, or
-- flips its flag. SQLSTATE CM001 tells the service which promise it ran into.
CREATE FUNCTION guard_immutable_core_memory() RETURNS trigger LANGUAGE plpgsql AS
$$
BEGIN
    IF TG_OP = 'TRUNCATE' OR NOT OLD.is_mutable THEN
        RAISE EXCEPTION 'core memory is immutable: % refused', TG_OP USING ERRCODE = 'CM001';
    END IF;
    IF TG_OP = 'DELETE' THEN
        RETURN OLD;
    END IF;
    RETURN NEW;
END
$$;

CREATE TRIGGER immutable_rows BEFORE UPDATE OR DELETE ON core_memory
FOR EACH ROW EXECUTE FUNCTION guard_immutable_core_memory();

CREATE TRIGGER immutable_table BEFORE TRUNCATE ON core_memory
FOR EACH STATEMENT EXECUTE FUNCTION guard_immutable_core_memory();

-- Fires in every replication mode, so a restored or replicated database keeps the promise.
ALTER TABLE core_memory ENABLE ALWAYS TRIGGER immutable_rows;

ALTER TABLE core_memory ENABLE ALWAYS TRIGGER immutable_table;

