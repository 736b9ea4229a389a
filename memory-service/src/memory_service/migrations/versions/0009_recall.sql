-- Plain words for the text index: lower case, no stop word of either language.
CREATE TEXT SEARCH DICTIONARY casiopy_no_spanish_stop (TEMPLATE = pg_catalog.simple, STOPWORDS = spanish, ACCEPT = false);

CREATE TEXT SEARCH DICTIONARY casiopy_no_english_stop (TEMPLATE = pg_catalog.simple, STOPWORDS = english, ACCEPT = false);

CREATE TEXT SEARCH CONFIGURATION casiopy_plain (COPY = pg_catalog.simple);

ALTER TEXT SEARCH CONFIGURATION casiopy_plain
    ALTER MAPPING FOR asciiword, word, hword, asciihword, hword_asciipart, hword_part WITH casiopy_no_spanish_stop, casiopy_no_english_stop, simple;

-- What a text says of itself, as marks that no word can be taken for: who speaks ("Ana: …", on either side of an exchange), that it
-- asks, that it tells a time. The sides of an exchange are told apart by U+001E.
CREATE FUNCTION f_marks(text) RETURNS SETOF text LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS
$$
    SELECT '@by ' || public.f_unaccent(name[1]) FROM regexp_matches($1, '(?:^|\u001e)\s*([^\s:][^:\n\u001e]{0,39}):\s', 'g') AS name
    UNION ALL
    SELECT '@asks' WHERE $1 ~ '\?[\s"»”)'']*$'
    UNION ALL
    SELECT '@when' WHERE public.f_unaccent($1) ~ '\m(yesterday|today|tonight|tomorrow|ago|recently|(last|next|this|past|few|couple of) (night|days?|weeks?|weekend|months?|years?|summer|winter|spring|fall|autumn|christmas)|(\d+|two|three|four|five|six|seven|eight|nine|ten) (days|weeks|months|years)|(mon|tues|wednes|thurs|fri|satur|sun)day|january|february|march|april|june|july|august|september|october|november|december|in may|in \d{4}|the other day|ayer|anteayer|anoche|hoy|manana|hace \S+ (dias?|semanas?|mes|meses|anos?)|(\d+|dos|tres|cuatro|cinco|seis|siete|ocho|nueve|diez) (dias|semanas|meses|anos)|(semana|mes|ano|verano|invierno|otono|primavera|finde|fin de semana|lunes|martes|miercoles|jueves|viernes|sabado|domingo) (pasad[oa]|que viene)|(pasad[oa]|proxim[oa]|est[ea]) (semana|mes|ano|verano|invierno|finde|lunes|martes|miercoles|jueves|viernes|sabado|domingo)|enero|febrero|marzo|abril|mayo|junio|julio|agosto|septiembre|octubre|noviembre|diciembre|en \d{4}|el otro dia)\M'
$$;

DROP INDEX ix_interactions_lexemes, ix_memories_lexemes;

ALTER TABLE interactions
    DROP COLUMN lexemes,
    ADD COLUMN blind_end TSVECTOR,
    ADD COLUMN audience TEXT DEFAULT 'viewer' NOT NULL,
    ADD CONSTRAINT ck_interactions_audience CHECK (audience IN ('viewer', 'streamer', 'public'));

ALTER TABLE memories
    DROP COLUMN lexemes,
    ADD COLUMN blind_end TSVECTOR,
    ADD COLUMN audience TEXT DEFAULT 'viewer' NOT NULL,
    ADD CONSTRAINT ck_memories_audience CHECK (audience IN ('viewer', 'streamer', 'public'));

ALTER TABLE users ADD COLUMN opt_out_recall BOOLEAN DEFAULT false NOT NULL;

CREATE INDEX ix_users_opted_out_of_recall ON users (owner_id, id) WHERE opt_out_recall;

DROP FUNCTION f_lexemes(text);

-- What a word begins with, as a form of it: relatives that a stemmer keeps apart ("trabajo", "trabajadora") begin alike.
CREATE FUNCTION f_root(text) RETURNS text LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS
$$ SELECT '~' || left($1, 5) WHERE length($1) > 5 AND $1 !~ '\d' $$;

-- Every form of a text's words that recall looks for (stem, plain word without accents, root) and its marks, each with how often
-- the text has it. A text is in the language that has more of its words for stop words; where neither leads it gets the stems of
-- both. Names are qualified because a restore runs without a search path.
CREATE FUNCTION f_terms(text) RETURNS TABLE (term text, times integer) LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE ROWS 50 AS
$$
    WITH said AS (SELECT public.f_words($1) AS words),
    spanish AS (
        SELECT lexeme, cardinality(positions) AS times FROM said, unnest(to_tsvector('pg_catalog.spanish', words))
    ),
    english AS (
        SELECT lexeme, cardinality(positions) AS times FROM said, unnest(to_tsvector('pg_catalog.english', words))
    ),
    plain AS (
        SELECT lexeme, cardinality(positions) AS times
        FROM said, unnest(to_tsvector('public.casiopy_plain', public.f_unaccent(words)))
    ),
    language AS (
        SELECT coalesce((SELECT sum(times) FROM english), 0) - coalesce((SELECT sum(times) FROM spanish), 0) AS spanish_lead
    ),
    form AS (
        SELECT lexeme, times FROM spanish, language WHERE spanish_lead >= 0
        UNION ALL
        SELECT lexeme, times FROM english, language WHERE spanish_lead <= 0
        UNION ALL
        SELECT lexeme, times FROM plain
        UNION ALL
        SELECT public.f_root(lexeme) AS root, sum(times) FROM plain WHERE public.f_root(lexeme) IS NOT NULL GROUP BY root
        UNION ALL
        SELECT mark, 1 FROM public.f_marks($1) AS mark
    )
    SELECT lexeme, max(times)::integer FROM form GROUP BY lexeme
$$;

-- The end of a text: what the next one is read with. Longer, a long message would drown the short one after it.
CREATE FUNCTION f_end(text) RETURNS text LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$ SELECT right($1, 200) $$;

-- What recall can find: one row per exchange and per typed memory, made and kept by the triggers below.
CREATE TABLE recall_documents (
    id BIGINT GENERATED BY DEFAULT AS IDENTITY,
    owner_id TEXT NOT NULL,
    user_id TEXT NOT NULL,
    persona_id UUID,
    interaction_id UUID,
    memory_id UUID,
    session_id UUID,
    said_at TIMESTAMP WITH TIME ZONE NOT NULL,
    valid_to TIMESTAMP WITH TIME ZONE,
    expires_at TIMESTAMP WITH TIME ZONE,
    is_deleted BOOLEAN DEFAULT false NOT NULL,
    audience TEXT NOT NULL,
    asks BOOLEAN NOT NULL,
    tells_when BOOLEAN NOT NULL,
    length INTEGER NOT NULL,
    end_length INTEGER NOT NULL,
    CONSTRAINT pk_recall_documents PRIMARY KEY (id),
    CONSTRAINT fk_recall_documents_owner_id FOREIGN KEY(owner_id) REFERENCES owners (id) ON DELETE CASCADE,
    CONSTRAINT fk_recall_documents_owner_id_interaction_id FOREIGN KEY(owner_id, interaction_id) REFERENCES interactions (owner_id, id) ON DELETE CASCADE,
    CONSTRAINT fk_recall_documents_owner_id_memory_id FOREIGN KEY(owner_id, memory_id) REFERENCES memories (owner_id, id) ON DELETE CASCADE,
    CONSTRAINT uq_recall_documents_owner_id_id UNIQUE (owner_id, id),
    CONSTRAINT uq_recall_documents_interaction_id UNIQUE (interaction_id),
    CONSTRAINT uq_recall_documents_memory_id UNIQUE (memory_id),
    CONSTRAINT ck_recall_documents_one_source CHECK (num_nonnulls(interaction_id, memory_id) = 1)
);

-- A viewer's documents in reading order, with all that recall asks of each: one index-only scan.
CREATE INDEX ix_recall_documents_reading ON recall_documents (owner_id, user_id, session_id, said_at, id)
INCLUDE (persona_id, valid_to, expires_at, is_deleted, audience, length, end_length);

CREATE INDEX ix_recall_documents_public ON recall_documents (owner_id, persona_id) WHERE audience = 'public';

-- How often a document says a term, and how often its end does. What is said in public stands on the shelf of everybody (''),
-- too.
CREATE TABLE recall_terms (
    owner_id TEXT NOT NULL,
    shelf TEXT NOT NULL,
    term TEXT NOT NULL,
    document_id BIGINT NOT NULL,
    times SMALLINT NOT NULL,
    end_times SMALLINT NOT NULL,
    CONSTRAINT pk_recall_terms PRIMARY KEY (owner_id, shelf, term, document_id) INCLUDE (times, end_times),
    CONSTRAINT fk_recall_terms_owner_id_document_id FOREIGN KEY(owner_id, document_id) REFERENCES recall_documents (owner_id, id) ON DELETE CASCADE,
    CONSTRAINT fk_recall_terms_owner_id FOREIGN KEY(owner_id) REFERENCES owners (id) ON DELETE CASCADE
);

CREATE INDEX ix_recall_terms_document_id ON recall_terms (document_id);

-- Write a document and its terms; anew where `document.id` is given. Of an encrypted text the tokens are given in its place.
CREATE FUNCTION index_document(document recall_documents, said text, blind tsvector, blind_end tsvector) RETURNS void LANGUAGE plpgsql AS
$$
DECLARE
    terms text[];
    times integer[];
    end_times integer[];
BEGIN
    IF starts_with(said, 'enc1~') THEN
        SELECT array_agg(whole.lexeme), array_agg(cardinality(whole.positions)), array_agg(coalesce(cardinality(ending.positions), 0))
        INTO terms, times, end_times
        FROM unnest(blind) AS whole LEFT JOIN unnest(blind_end) AS ending USING (lexeme);
    ELSE
        SELECT array_agg(whole.term), array_agg(whole.times), array_agg(coalesce(ending.times, 0))
        INTO terms, times, end_times
        FROM f_terms(said) AS whole
        LEFT JOIN f_terms(f_end(said)) AS ending ON ending.term = whole.term AND NOT starts_with(whole.term, '@');
    END IF;
    document.asks := coalesce('@asks' = ANY (terms), false);
    document.tells_when := coalesce('@when' = ANY (terms), false);
    SELECT coalesce(sum(t) FILTER (WHERE NOT starts_with(term, '@')), 0), coalesce(sum(e), 0)
    INTO document.length, document.end_length
    FROM unnest(terms, times, end_times) AS one (term, t, e);
    IF document.id IS NULL THEN
        document.id := nextval('recall_documents_id_seq');
        INSERT INTO recall_documents SELECT document.*;
    ELSE
        DELETE FROM recall_terms WHERE document_id = document.id;
        UPDATE recall_documents
        SET (user_id, persona_id, session_id, said_at, valid_to, expires_at, is_deleted, audience, asks, tells_when, length, end_length)
          = (document.user_id, document.persona_id, document.session_id, document.said_at, document.valid_to, document.expires_at,
             document.is_deleted, document.audience, document.asks, document.tells_when, document.length, document.end_length)
        WHERE id = document.id;
    END IF;
    INSERT INTO recall_terms (owner_id, shelf, term, document_id, times, end_times)
    SELECT document.owner_id, shelf, term, document.id, least(t, 32767), least(e, 32767)
    FROM unnest(terms, times, end_times) AS one (term, t, e)
    CROSS JOIN unnest(CASE document.audience WHEN 'public' THEN ARRAY[document.user_id, ''] ELSE ARRAY[document.user_id] END) AS shelf;
END
$$;

CREATE FUNCTION index_interaction() RETURNS trigger LANGUAGE plpgsql AS
$$
DECLARE
    document recall_documents;
BEGIN
    IF TG_OP = 'UPDATE' THEN
        SELECT id INTO document.id FROM recall_documents WHERE interaction_id = NEW.id;
    END IF;
    document.owner_id := NEW.owner_id;
    document.user_id := NEW.user_id;
    document.persona_id := NEW.persona_id;
    document.interaction_id := NEW.id;
    document.session_id := NEW.session_id;
    document.said_at := NEW.occurred_at;
    document.is_deleted := false;
    document.audience := NEW.audience;
    PERFORM index_document(document, concat_ws(chr(30), NEW.input_text, nullif(NEW.output_text, '')), NEW.blind, NEW.blind_end);
    RETURN NULL;
END
$$;

CREATE FUNCTION index_memory() RETURNS trigger LANGUAGE plpgsql AS
$$
DECLARE
    document recall_documents;
BEGIN
    IF TG_OP = 'UPDATE' THEN
        SELECT id INTO document.id FROM recall_documents WHERE memory_id = NEW.id;
    END IF;
    document.owner_id := NEW.owner_id;
    document.user_id := NEW.user_id;
    document.persona_id := NEW.persona_id;
    document.memory_id := NEW.id;
    -- A memory is of no session, but a client that keeps turns as memories may name one.
    document.session_id := md5(NEW.user_id || chr(31) || coalesce(NEW.metadata ->> 'session_id', NEW.metadata ->> 'session'))::uuid;
    document.said_at := NEW.valid_from;
    document.valid_to := NEW.valid_to;
    document.expires_at := NEW.expires_at;
    document.is_deleted := NEW.is_deleted;
    document.audience := NEW.audience;
    PERFORM index_document(document, NEW.content, NEW.blind, NEW.blind_end);
    RETURN NULL;
END
$$;

CREATE TRIGGER index_interaction
AFTER INSERT OR UPDATE OF input_text, output_text, blind, user_id, persona_id, session_id, occurred_at, audience ON interactions
FOR EACH ROW EXECUTE FUNCTION index_interaction();

CREATE TRIGGER index_memory
AFTER INSERT OR UPDATE OF content, blind, user_id, persona_id, metadata, valid_from, valid_to, expires_at, is_deleted, audience ON memories
FOR EACH ROW EXECUTE FUNCTION index_memory();

-- What was stored before, in the order it was said: equal moments are told apart by the document's number.
INSERT INTO recall_documents (owner_id, user_id, persona_id, interaction_id, session_id, said_at, audience, asks, tells_when, length, end_length)
SELECT owner_id, user_id, persona_id, id, session_id, occurred_at, audience, false, false, 0, 0 FROM interactions ORDER BY occurred_at, id;

INSERT INTO recall_documents (owner_id, user_id, persona_id, memory_id, said_at, audience, asks, tells_when, length, end_length)
SELECT owner_id, user_id, persona_id, id, valid_from, audience, false, false, 0, 0 FROM memories ORDER BY valid_from, id;

UPDATE interactions SET audience = audience;

UPDATE memories SET audience = audience;

-- Vectors belong to documents. A part above 0 is a passage of a long text.
ALTER TABLE embeddings ADD COLUMN document_id BIGINT;

UPDATE embeddings SET document_id = known.id
FROM recall_documents AS known
WHERE known.interaction_id = embeddings.interaction_id OR known.memory_id = embeddings.memory_id;

ALTER TABLE embeddings
    DROP COLUMN id,
    DROP COLUMN interaction_id,
    DROP COLUMN memory_id,
    ALTER COLUMN document_id SET NOT NULL,
    ADD CONSTRAINT pk_embeddings PRIMARY KEY (document_id, model_id, part),
    ADD CONSTRAINT fk_embeddings_owner_id_document_id FOREIGN KEY(owner_id, document_id) REFERENCES recall_documents (owner_id, id) ON DELETE CASCADE;

-- One vector index per model, for all tenants, over whole texts (part 0): pgvector asks for the dimension. The service calls
-- this before it stores the first vector of a model, so that nothing is locked for long.
CREATE FUNCTION index_vectors(model integer) RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS
$$
DECLARE
    size integer;
BEGIN
    SELECT dimension INTO STRICT size FROM embedding_models WHERE id = model;
    EXECUTE format(
        'CREATE INDEX IF NOT EXISTS ix_embeddings_model_%s ON embeddings USING hnsw ((embedding::halfvec(%s)) halfvec_cosine_ops) WHERE model_id = %s AND part = 0',
        model, size, model);
END
$$;

REVOKE ALL ON FUNCTION index_vectors(integer) FROM PUBLIC;

GRANT EXECUTE ON FUNCTION index_vectors(integer) TO casiopy_app;

SELECT index_vectors(id) FROM embedding_models WHERE active;

-- What may be recalled: of one viewer (and, where `everybody` is asked for, what others who did not opt out said in public), within one persona,
-- perhaps one session, meant for `audiences`, as it stood at `moment` (NULL: as it stands now).
CREATE FUNCTION recallable(viewer text, everybody boolean, persona uuid, session uuid, audiences text[], moment timestamptz)
RETURNS SETOF recall_documents LANGUAGE sql STABLE PARALLEL SAFE AS
$$
    SELECT document.*
    FROM recall_documents AS document
    WHERE (user_id = viewer OR (everybody AND audience = 'public'))
      AND owner_id = current_setting('app.owner_id', true)
      AND (persona_id IS NULL OR persona_id = persona)
      AND (session IS NULL OR (session_id = session AND interaction_id IS NOT NULL))
      AND audience = ANY (audiences)
      AND (user_id = viewer OR user_id NOT IN (SELECT id FROM users WHERE owner_id = current_setting('app.owner_id', true) AND opt_out_recall))
      AND NOT is_deleted
      AND (moment IS NULL OR said_at <= moment)
      AND (valid_to IS NULL OR valid_to > moment)
      AND (expires_at IS NULL OR expires_at > now())
$$;

-- Tenancy as for every table.
GRANT SELECT, INSERT, UPDATE, DELETE ON recall_documents, recall_terms TO casiopy_app;

GRANT USAGE ON SEQUENCE recall_documents_id_seq TO casiopy_app;

ALTER TABLE recall_documents ENABLE ROW LEVEL SECURITY;

ALTER TABLE recall_terms ENABLE ROW LEVEL SECURITY;

CREATE POLICY owner_only ON recall_documents
USING (owner_id = current_setting('app.owner_id', true)) WITH CHECK (owner_id = current_setting('app.owner_id', true));

CREATE POLICY owner_only ON recall_terms
USING (owner_id = current_setting('app.owner_id', true)) WITH CHECK (owner_id = current_setting('app.owner_id', true));
