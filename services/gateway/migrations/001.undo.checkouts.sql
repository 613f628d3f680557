DROP FUNCTION finish_checkout, accept_checkout;
DROP TABLE checkout_outbox, checkouts;
DROP FUNCTION guard_checkout;
