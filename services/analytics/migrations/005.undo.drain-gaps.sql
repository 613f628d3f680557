DROP FUNCTION take_over_above, accept_drain_gap;
DROP TABLE drain_gaps;
