-- Many operations in one statement and one commit: what may be done to a single one (001) does not change, and each has a result of
-- its own. All of them go through the keys in ascending order, so that two statements that meet wait for each other in one direction
-- only: no deadlock. Arrays have equal lengths and name each key once; `n` counts from 1.
--
-- Plans are kept for long and the table grows: LATERAL makes each key a look into the primary key, a row that is locked is updated
-- where it stands (ctid), and reading all of the table is no choice.

-- Says the same as `phase <> 'answered'`, but is not a choice for those who look for one key: with many operations in doubt they
-- would read all of them.
DROP INDEX operations_in_doubt;
CREATE INDEX operations_in_doubt ON operations (lease_until) WHERE answered_at IS NULL;

-- The claim of a payment is one INSERT … ON CONFLICT, as ever: of any number of callers at once, one gets the row. No conflict
-- target: the processor's key is unique as well, and of two equal rows the loser may meet either index first. Rows are read by a
-- statement of their own: who won the key may have committed after the INSERT began.
CREATE FUNCTION claim_charges(
  p_callers text[], p_transaction_ids uuid[], p_payers text[], p_amounts bigint[], p_currencies text[], p_fingerprints bytea[],
  p_processor_keys text[], p_token_boxes bytea[], p_holder text, p_lease_ms integer
) RETURNS TABLE (n bigint, claimed boolean, operation operations) LANGUAGE plpgsql SET enable_seqscan = off AS $$
DECLARE
  won bigint[];
BEGIN
  WITH inserted AS (
    INSERT INTO operations (caller, transaction_id, kind, payer, amount_minor, currency, fingerprint, processor_key, token_box, holder, lease_until)
    SELECT i.caller, i.transaction_id, 'charge', i.payer, i.amount_minor, i.currency, i.fingerprint, i.processor_key, i.token_box,
           p_holder, clock_timestamp() + p_lease_ms * interval '1 ms'
      FROM unnest(p_callers, p_transaction_ids, p_payers, p_amounts, p_currencies, p_fingerprints, p_processor_keys, p_token_boxes)
        AS i (caller, transaction_id, payer, amount_minor, currency, fingerprint, processor_key, token_box)
     ORDER BY i.caller, i.transaction_id
    ON CONFLICT DO NOTHING RETURNING id
  )
  SELECT array_agg(id) INTO won FROM inserted;
  RETURN QUERY
    SELECT i.n, coalesce((o.operation).id = ANY (won), false), o.operation
      FROM unnest(p_callers, p_transaction_ids) WITH ORDINALITY AS i (caller, transaction_id, n),
           LATERAL (SELECT o AS operation FROM operations o WHERE o.caller = i.caller AND o.transaction_id = i.transaction_id OFFSET 0) o;
END $$;

-- "Under way" is durable and the lease is new, for each attempt that holds its operation. Returns those; the others are fenced.
CREATE FUNCTION record_charging(p_callers text[], p_transaction_ids uuid[], p_attempts integer[], p_lease_ms integer)
RETURNS SETOF bigint LANGUAGE plpgsql SET enable_seqscan = off AS $$
DECLARE
  places    tid[];
  positions bigint[];
BEGIN
  SELECT array_agg(held.place), array_agg(i.n) INTO places, positions
    FROM (SELECT * FROM unnest(p_callers, p_transaction_ids, p_attempts) WITH ORDINALITY AS i (caller, transaction_id, attempt, n)
           ORDER BY i.caller, i.transaction_id) i,
         LATERAL (SELECT o.ctid AS place FROM operations o
                   WHERE o.caller = i.caller AND o.transaction_id = i.transaction_id
                     AND o.phase <> 'answered' AND o.attempt = i.attempt FOR NO KEY UPDATE) held;
  RETURN QUERY
    UPDATE operations o SET phase = 'charging', lease_until = clock_timestamp() + p_lease_ms * interval '1 ms'
      FROM unnest(places, positions) AS held (place, n) WHERE o.ctid = held.place
    RETURNING held.n;
END $$;

-- Outcome, books and answer in one transaction, each for the attempt that holds the operation and nobody else. Returns those that
-- were finished; the others are fenced.
CREATE FUNCTION finish_operations(
  p_callers text[], p_transaction_ids uuid[], p_attempts integer[], p_outcomes text[], p_references text[], p_reasons text[], p_answers text[]
) RETURNS SETOF bigint LANGUAGE plpgsql SET enable_seqscan = off AS $$
DECLARE
  places    tid[];
  positions bigint[];
BEGIN
  SELECT array_agg(held.place), array_agg(i.n) INTO places, positions
    FROM (SELECT * FROM unnest(p_callers, p_transaction_ids, p_attempts) WITH ORDINALITY AS i (caller, transaction_id, attempt, n)
           ORDER BY i.caller, i.transaction_id) i,
         LATERAL (SELECT o.ctid AS place FROM operations o
                   WHERE o.caller = i.caller AND o.transaction_id = i.transaction_id
                     AND o.phase = 'charging' AND o.attempt = i.attempt FOR NO KEY UPDATE) held;
  RETURN QUERY
    WITH answered AS (
      UPDATE operations o
         SET phase = 'answered', outcome = p_outcomes[held.n], processor_reference = p_references[held.n],
             reason = p_reasons[held.n], answer_body = p_answers[held.n], answered_at = clock_timestamp(), token_box = NULL
        FROM unnest(places, positions) AS held (place, n) WHERE o.ctid = held.place
      RETURNING held.n, o.caller, o.transaction_id, o.kind, o.payer, o.amount_minor, o.currency, o.outcome
    ), booked AS (
      -- The number is drawn here, because both the posting and its entries need it.
      SELECT nextval(pg_get_serial_sequence('postings', 'id')) AS posting, a.caller, a.transaction_id, a.currency, a.payer,
             CASE a.kind WHEN 'charge' THEN a.amount_minor ELSE -a.amount_minor END AS amount_minor
        FROM answered a WHERE a.outcome = 'charged'
    ), posted AS (
      INSERT INTO postings (id, caller, transaction_id, currency) OVERRIDING SYSTEM VALUE
      SELECT b.posting, b.caller, b.transaction_id, b.currency FROM booked b
    ), entered AS (
      INSERT INTO entries
      SELECT b.posting, side.account, side.amount_minor
        FROM booked b, LATERAL (VALUES ('processor:clearing', b.amount_minor), ('payer:' || b.payer, -b.amount_minor)) AS side (account, amount_minor)
    )
    SELECT a.n FROM answered a;
END $$;
