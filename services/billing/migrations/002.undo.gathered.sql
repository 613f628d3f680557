DROP FUNCTION finish_operations, record_charging, claim_charges;
DROP INDEX operations_in_doubt;
CREATE INDEX operations_in_doubt ON operations (lease_until) WHERE phase <> 'answered';
