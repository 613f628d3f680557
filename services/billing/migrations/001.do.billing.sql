-- Payments and the books. Owner: billing. I3 is kept here too: by keys, by the attempt fence, and by what may never change.

-- One row per idempotency key, for ever: the UUID stays unique although details are retired one day.
CREATE TABLE operations (
  id                  bigint      GENERATED ALWAYS AS IDENTITY UNIQUE,
  caller              text        NOT NULL,
  transaction_id      uuid        NOT NULL,
  kind                text        NOT NULL CHECK (kind IN ('charge', 'refund')),
  -- Refunds: the payment, and what the processor knows its charge by.
  payment_id          uuid,
  processor_charge    text,
  payer               text        NOT NULL,
  amount_minor        bigint      NOT NULL CHECK (amount_minor BETWEEN 1 AND 1000000000000),
  currency            text        NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
  -- Keyed hash of the caller's parameters; null once retired.
  fingerprint         bytea,
  -- What the processor knows this operation by; stored, so that no later program derives it otherwise.
  processor_key       text        NOT NULL UNIQUE,
  -- The payment token, encrypted; destroyed with the answer.
  token_box           bytea,
  phase               text        NOT NULL DEFAULT 'claimed' CHECK (phase IN ('claimed', 'charging', 'answered')),
  attempt             integer     NOT NULL DEFAULT 1 CHECK (attempt > 0),
  holder              text        NOT NULL,
  lease_until         timestamptz NOT NULL,
  -- For a refund, 'charged' says that it was made.
  outcome             text        CHECK (outcome IN ('charged', 'declined')),
  processor_reference text,
  reason              text,
  -- The answer, byte for byte; null once retired.
  answer_body         text,
  created_at          timestamptz NOT NULL DEFAULT clock_timestamp(),
  answered_at         timestamptz,
  retired_at          timestamptz,
  PRIMARY KEY (caller, transaction_id),
  FOREIGN KEY (caller, payment_id) REFERENCES operations (caller, transaction_id),
  CHECK ((kind = 'refund') = (payment_id IS NOT NULL)),
  CHECK ((phase = 'answered') = (outcome IS NOT NULL)),
  CHECK ((phase = 'answered') = (answered_at IS NOT NULL)),
  CHECK (phase <> 'answered' OR token_box IS NULL),
  CHECK (retired_at IS NULL OR phase = 'answered'),
  CHECK ((phase = 'answered' AND retired_at IS NULL) = (answer_body IS NOT NULL))
);
CREATE INDEX operations_in_doubt ON operations (lease_until) WHERE phase <> 'answered';
CREATE INDEX operations_to_retire ON operations (answered_at) WHERE phase = 'answered' AND retired_at IS NULL;
CREATE INDEX payments_by_caller ON operations (caller, id) WHERE kind = 'charge';
CREATE INDEX refunds_by_payment ON operations (caller, payment_id) WHERE kind = 'refund';

-- What an operation is never changes, its attempt never falls, its answer is final, and no row ever goes.
CREATE FUNCTION guard_operation() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP <> 'UPDATE' THEN
    RAISE EXCEPTION 'operations are never removed' USING ERRCODE = 'TM010';
  END IF;
  IF (OLD.caller, OLD.transaction_id, OLD.kind, OLD.payment_id, OLD.payer, OLD.amount_minor, OLD.currency, OLD.processor_key, OLD.created_at)
     IS DISTINCT FROM
     (NEW.caller, NEW.transaction_id, NEW.kind, NEW.payment_id, NEW.payer, NEW.amount_minor, NEW.currency, NEW.processor_key, NEW.created_at)
     OR NEW.attempt < OLD.attempt THEN
    RAISE EXCEPTION 'what an operation is never changes' USING ERRCODE = 'TM010';
  END IF;
  IF OLD.phase = 'answered' AND (
       (OLD.phase, OLD.outcome, OLD.processor_reference, OLD.reason, OLD.answered_at, OLD.attempt)
       IS DISTINCT FROM (NEW.phase, NEW.outcome, NEW.processor_reference, NEW.reason, NEW.answered_at, NEW.attempt)
       OR (NEW.retired_at IS NULL AND (OLD.answer_body, OLD.fingerprint) IS DISTINCT FROM (NEW.answer_body, NEW.fingerprint))) THEN
    RAISE EXCEPTION 'an answer is final' USING ERRCODE = 'TM010';
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER operations_guard BEFORE UPDATE OR DELETE ON operations FOR EACH ROW EXECUTE FUNCTION guard_operation();
CREATE TRIGGER operations_kept BEFORE TRUNCATE ON operations FOR EACH STATEMENT EXECUTE FUNCTION guard_operation();

-- The books: double entry, minor units. At most one posting per operation, each posting in one currency, its sum zero.
CREATE TABLE postings (
  id             bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  caller         text        NOT NULL,
  transaction_id uuid        NOT NULL,
  currency       text        NOT NULL,
  posted_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
  UNIQUE (caller, transaction_id),
  FOREIGN KEY (caller, transaction_id) REFERENCES operations (caller, transaction_id)
);
CREATE TABLE entries (
  posting_id   bigint NOT NULL REFERENCES postings (id),
  account      text   NOT NULL,
  amount_minor bigint NOT NULL CHECK (amount_minor <> 0),
  PRIMARY KEY (posting_id, account)
);
CREATE INDEX entries_by_account ON entries (account, posting_id);

CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'the books are append-only' USING ERRCODE = 'TM010';
END $$;
CREATE TRIGGER postings_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON postings FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER entries_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON entries FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- Checked at COMMIT, when all entries of the posting are there.
CREATE FUNCTION check_balance() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  posting bigint := CASE TG_TABLE_NAME WHEN 'postings' THEN (to_jsonb(NEW) ->> 'id')::bigint ELSE (to_jsonb(NEW) ->> 'posting_id')::bigint END;
  total   numeric;
  lines   bigint;
BEGIN
  SELECT sum(amount_minor), count(*) INTO total, lines FROM entries WHERE posting_id = posting;
  IF lines < 2 OR total <> 0 THEN
    RAISE EXCEPTION 'posting % does not balance: % entries, sum %', posting, lines, total USING ERRCODE = 'TM011';
  END IF;
  RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER postings_balance AFTER INSERT ON postings DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION check_balance();
CREATE CONSTRAINT TRIGGER entries_balance AFTER INSERT ON entries DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION check_balance();

-- Outcome, books and answer in one transaction, for the attempt that holds the operation and nobody else. False: fenced.
CREATE FUNCTION finish_operation(
  p_caller text, p_transaction_id uuid, p_attempt integer, p_outcome text, p_reference text, p_reason text, p_answer text
) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
  op      operations;
  posting bigint;
  sign    integer;
BEGIN
  UPDATE operations
     SET phase = 'answered', outcome = p_outcome, processor_reference = p_reference, reason = p_reason,
         answer_body = p_answer, answered_at = clock_timestamp(), token_box = NULL
   WHERE caller = p_caller AND transaction_id = p_transaction_id AND phase = 'charging' AND attempt = p_attempt
  RETURNING * INTO op;
  IF NOT FOUND THEN
    RETURN false;
  END IF;
  IF p_outcome = 'charged' THEN
    INSERT INTO postings (caller, transaction_id, currency) VALUES (op.caller, op.transaction_id, op.currency) RETURNING id INTO posting;
    sign := CASE op.kind WHEN 'charge' THEN 1 ELSE -1 END;
    INSERT INTO entries VALUES
      (posting, 'processor:clearing', sign * op.amount_minor),
      (posting, 'payer:' || op.payer, -sign * op.amount_minor);
  END IF;
  RETURN true;
END $$;

-- A refund reserves its amount in the claim: the payment's row is locked, so that two refunds cannot both take the rest.
CREATE FUNCTION claim_refund(
  p_caller text, p_transaction_id uuid, p_payment_id uuid, p_amount bigint, p_fingerprint bytea, p_processor_key text,
  p_holder text, p_lease_ms integer
) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  paid     operations;
  reserved numeric;
BEGIN
  SELECT * INTO paid FROM operations WHERE caller = p_caller AND transaction_id = p_payment_id AND kind = 'charge' FOR UPDATE;
  IF EXISTS (SELECT 1 FROM operations WHERE caller = p_caller AND transaction_id = p_transaction_id) THEN
    RETURN 'exists';
  END IF;
  IF paid.transaction_id IS NULL THEN RETURN 'unknown_payment'; END IF;
  IF paid.phase <> 'answered' THEN RETURN 'pending'; END IF;
  IF paid.outcome <> 'charged' THEN RETURN 'not_charged'; END IF;
  SELECT coalesce(sum(amount_minor), 0) INTO reserved FROM operations
   WHERE caller = p_caller AND payment_id = p_payment_id AND kind = 'refund' AND outcome IS DISTINCT FROM 'declined';
  IF reserved + p_amount > paid.amount_minor THEN RETURN 'exceeds'; END IF;
  INSERT INTO operations (caller, transaction_id, kind, payment_id, processor_charge, payer, amount_minor, currency, fingerprint, processor_key, holder, lease_until)
  VALUES (p_caller, p_transaction_id, 'refund', p_payment_id, paid.processor_reference, paid.payer, p_amount, paid.currency,
          p_fingerprint, p_processor_key, p_holder, clock_timestamp() + p_lease_ms * interval '1 ms')
  ON CONFLICT DO NOTHING;
  IF NOT FOUND THEN RETURN 'exists'; END IF;
  RETURN 'claimed';
END $$;
