#!/bin/sh
# Makes the database and its roles on the first start, then is PostgreSQL. Works on the official image and on
# Debian's package. A start that was cut short begins anew: the cluster gets its name when it is complete.
set -eu

if [ ! -s "$PGDATA/PG_VERSION" ]; then
  new="$PGDATA.new"
  rm -rf "$new"
  # The superuser has no password: it signs in over the socket of its own container alone.
  initdb -D "$new" -U postgres -E UTF8 --locale=C.UTF-8 --auth-local=peer --auth-host=scram-sha-256 >/dev/null
  echo "host all all samenet scram-sha-256" >> "$new/pg_hba.conf"
  pg_ctl -D "$new" -o "-c listen_addresses= -c unix_socket_directories=/tmp" --wait --silent start
  psql -X -h /tmp -U postgres -d postgres -q -v ON_ERROR_STOP=1 -c 'CREATE DATABASE bonghwa'
  psql -X -h /tmp -U postgres -d bonghwa -q -f /etc/bonghwa/roles.sql
  pg_ctl -D "$new" --wait --silent -m fast stop
  mv "$new" "$PGDATA"
fi
exec postgres -D "$PGDATA" -c listen_addresses='*' -c unix_socket_directories=/tmp -c logging_collector=off \
  -c password_encryption=scram-sha-256 "$@"
