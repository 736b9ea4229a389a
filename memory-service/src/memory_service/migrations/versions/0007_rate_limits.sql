-- A key's tokens. Unlogged: after a crash of the server every bucket is full again, and no request waits for a disk.
CREATE UNLOGGED TABLE rate_limit_buckets (
    bucket TEXT NOT NULL,
    tokens DOUBLE PRECISION NOT NULL,
    refilled_at TIMESTAMP WITH TIME ZONE NOT NULL,
    allowed BOOLEAN NOT NULL,
    CONSTRAINT pk_rate_limit_buckets PRIMARY KEY (bucket)
);

-- Take one token from a bucket that holds `capacity` of them and refills continuously, `capacity` a minute. Answers whether
-- there was one, how many whole ones are left, and the seconds until the next one and until the bucket is full. The row's
-- lock makes it exact across service processes; the server's clock is everybody's clock.
CREATE FUNCTION take_token(name text, capacity integer)
RETURNS TABLE (taken boolean, remaining integer, next_in double precision, full_in double precision)
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS
$$
    INSERT INTO rate_limit_buckets AS held (bucket, tokens, refilled_at, allowed)
    VALUES (name, capacity - 1, clock_timestamp(), true)
    ON CONFLICT (bucket) DO UPDATE SET (tokens, refilled_at, allowed) = (
        SELECT CASE WHEN now_held >= 1 THEN now_held - 1 ELSE now_held END, moment, now_held >= 1
        FROM (
            SELECT moment, least(
                capacity,
                held.tokens + greatest(0, extract(epoch FROM moment - held.refilled_at)) * capacity / 60.0
            ) AS now_held
            FROM clock_timestamp() AS moment
        ) AS refilled
    )
    RETURNING allowed, floor(tokens)::integer, greatest(0, (1 - tokens) * 60.0 / capacity), (capacity - tokens) * 60.0 / capacity
$$;

REVOKE ALL ON FUNCTION take_token(text, integer) FROM PUBLIC;

GRANT EXECUTE ON FUNCTION take_token(text, integer) TO casiopy_app;

-- When a key was last used is noted to the minute: a busy key is read, not written, with each of its requests.
CREATE OR REPLACE FUNCTION authenticate_key(hash bytea) RETURNS TABLE (key_id uuid, key_owner text, key_rate_limit integer)
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS
$$
    WITH noted AS (
        UPDATE api_keys SET last_used_at = now()
        WHERE key_hash = hash AND revoked_at IS NULL
          AND (last_used_at IS NULL OR last_used_at < now() - interval '1 minute')
    )
    SELECT id, owner_id, rate_limit FROM api_keys WHERE key_hash = hash AND revoked_at IS NULL
$$;
