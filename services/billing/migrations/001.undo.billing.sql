DROP FUNCTION claim_refund, finish_operation;
DROP TABLE entries, postings, operations;
DROP FUNCTION check_balance, refuse_change, guard_operation;
