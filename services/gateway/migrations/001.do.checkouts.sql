-- Checkouts and their outbox. Owner: gateway. I3 and I5 are kept here too: one order per customer key, an outbox row until it is final.

-- One row per checkout, for ever.
CREATE TABLE checkouts (
  id             bigint      GENERATED ALWAYS AS IDENTITY UNIQUE,
  checkout_id    uuid        PRIMARY KEY,
  -- Who asked, by API key, and what the customer calls it.
  caller         text        NOT NULL,
  customer_key   text        NOT NULL CHECK (length(customer_key) BETWEEN 1 AND 128),
  -- Keyed hash of the caller's parameters.
  fingerprint    bytea       NOT NULL,
  -- What billing knows it by: made and stored before the first call.
  transaction_id uuid        NOT NULL UNIQUE,
  payer          text        NOT NULL,
  amount_minor   bigint      NOT NULL CHECK (amount_minor BETWEEN 1 AND 1000000000000),
  currency       text        NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
  reference      text,
  -- The payment token, encrypted; destroyed when the checkout is final.
  token_box      bytea,
  status         text        NOT NULL DEFAULT 'accepted' CHECK (status IN ('accepted', 'charged', 'declined', 'failed')),
  reason         text,
  created_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
  final_at       timestamptz,
  -- The same key of the same caller is the same checkout.
  UNIQUE (caller, customer_key),
  CHECK ((status = 'accepted') = (final_at IS NULL)),
  CHECK ((status = 'accepted') = (token_box IS NOT NULL)),
  CHECK (status <> 'failed' OR reason IS NOT NULL)
);
CREATE INDEX checkouts_by_caller ON checkouts (caller, id);

-- A row from the moment a checkout is accepted until it is final: the queue in Redis may forget, this may not.
CREATE TABLE checkout_outbox (
  checkout_id uuid        PRIMARY KEY REFERENCES checkouts (checkout_id),
  -- The next hand-over to the queue.
  due_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
  hand_overs  integer     NOT NULL DEFAULT 0,
  created_at  timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX checkout_outbox_due ON checkout_outbox (due_at);

-- What a checkout is never changes, a final one changes in nothing, and no row ever goes.
CREATE FUNCTION guard_checkout() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP <> 'UPDATE' THEN
    RAISE EXCEPTION 'checkouts are never removed' USING ERRCODE = 'TM010';
  END IF;
  IF OLD.status <> 'accepted' THEN
    RAISE EXCEPTION 'checkout % is final', OLD.checkout_id USING ERRCODE = 'TM010';
  END IF;
  IF (OLD.checkout_id, OLD.caller, OLD.customer_key, OLD.fingerprint, OLD.transaction_id, OLD.payer, OLD.amount_minor, OLD.currency, OLD.reference, OLD.created_at)
     IS DISTINCT FROM
     (NEW.checkout_id, NEW.caller, NEW.customer_key, NEW.fingerprint, NEW.transaction_id, NEW.payer, NEW.amount_minor, NEW.currency, NEW.reference, NEW.created_at) THEN
    RAISE EXCEPTION 'what checkout % is cannot change', OLD.checkout_id USING ERRCODE = 'TM010';
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER checkouts_guard BEFORE UPDATE OR DELETE ON checkouts FOR EACH ROW EXECUTE FUNCTION guard_checkout();
CREATE TRIGGER checkouts_kept BEFORE TRUNCATE ON checkouts FOR EACH STATEMENT EXECUTE FUNCTION guard_checkout();

-- Order and outbox row in one transaction. Of any number of calls with one key, one creates; the others find what it has made. No
-- conflict target: whichever index a duplicate meets first, it creates nothing.
CREATE FUNCTION accept_checkout(
  p_checkout_id uuid, p_caller text, p_customer_key text, p_fingerprint bytea, p_transaction_id uuid,
  p_payer text, p_amount bigint, p_currency text, p_reference text, p_token_box bytea
) RETURNS TABLE (found_id uuid, found_fingerprint bytea, created boolean) LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO checkouts (checkout_id, caller, customer_key, fingerprint, transaction_id, payer, amount_minor, currency, reference, token_box)
  VALUES (p_checkout_id, p_caller, p_customer_key, p_fingerprint, p_transaction_id, p_payer, p_amount, p_currency, p_reference, p_token_box)
  ON CONFLICT DO NOTHING;
  IF FOUND THEN
    INSERT INTO checkout_outbox (checkout_id) VALUES (p_checkout_id);
    RETURN QUERY SELECT p_checkout_id, p_fingerprint, true;
    RETURN;
  END IF;
  -- A new statement, a new snapshot: it sees the row that the INSERT has met.
  RETURN QUERY SELECT c.checkout_id, c.fingerprint, false FROM checkouts c WHERE c.caller = p_caller AND c.customer_key = p_customer_key;
END $$;

-- The answer, once: a later one finds a final checkout and changes nothing. False: it was final already.
CREATE FUNCTION finish_checkout(p_checkout_id uuid, p_status text, p_reason text) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
  UPDATE checkouts SET status = p_status, reason = p_reason, final_at = clock_timestamp(), token_box = NULL
   WHERE checkout_id = p_checkout_id AND status = 'accepted';
  IF NOT FOUND THEN
    RETURN false;
  END IF;
  DELETE FROM checkout_outbox WHERE checkout_id = p_checkout_id;
  RETURN true;
END $$;
