#!/bin/bash
# Exits with 0 if the service in this container is ready. It does not start Node, because it runs
# every few seconds in each container.
exec 3<> "/dev/tcp/127.0.0.1/${HTTP_PORT:?}" || exit 1
printf 'GET /readyz HTTP/1.0\r\nHost: localhost\r\n\r\n' >&3
read -r -t 2 _ status _ <&3 && [ "$status" = 200 ]
