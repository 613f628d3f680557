#!/bin/sh
set -e
if [ "${1#-}" != "$1" ] || [ "${1%.conf}" != "$1" ]; then set -- redis-server "$@"; fi
if [ "$1" = 'redis-server' ] && [ "$(id -u)" = '0' ]; then
  chown -R redis . && exec setpriv --reuid redis --regid redis --init-groups "$0" "$@"
fi
umask 0077
exec "$@"
