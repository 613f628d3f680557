DROP FUNCTION acknowledge_device_command, claim_device_commands, accept_device_command;
DROP TABLE device_commands;
DROP FUNCTION guard_device_command;
