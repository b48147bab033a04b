#!/bin/sh
# Makes what compose.yaml needs and the repository must not hold: secrets/ (random, once) and lines of .env.
# Safe to repeat: what is there stays. Run it on the machine whose Docker Engine will run the deployment; what every
# Linux has is enough.
#
# The files are readable, but their folder is the caller's alone (0700): on the machine nobody else reaches them,
# and in a container each role reads the ones that are mounted there, whatever user it runs as.
set -eu
cd "$(dirname "$0")/../.."
umask 077

folder=secrets
mkdir -p "$folder"
chmod 700 "$folder"

touch .env
[ -z "$(tail -c 1 .env)" ] || echo >> .env

# said NAME: what .env says; of several lines the last one counts, as for Compose.
said() { sed -n "s/^$1=//p" .env | tail -n 1; }

# setting NAME DEFAULT: print what the environment says, else .env, else DEFAULT. It is in .env afterwards.
setting() {
  value=$(printenv "$1") || value=$(said "$1")
  value=${value:-$2}
  [ "$value" = "$(said "$1")" ] || printf '%s=%s\n' "$1" "$value" >> .env
  printf '%s' "$value"
}

random() { head -c 48 /dev/urandom | base64 | tr -dc 'A-Za-z0-9' | head -c 43; }

# keep NAME VALUE: a file that is made once. An empty one counts as none: a key that is missing would be made up by
# each process for itself.
keep() {
  [ -s "$folder/$1" ] || { printf '%s' "$2" > "$folder/.new" && mv "$folder/.new" "$folder/$1"; }
  chmod 444 "$folder/$1"
}

for name in secret_key audit_key channel_key admin_password; do
  keep "$name" "$(random)"
done

# One PostgreSQL role for each kind of process (deploy/postgres/roles.sql).
for role in owner app ops gateway; do
  keep "postgres_password_$role" "$(random)"
  keep "database_url_$role" "postgres://bonghwa_$role:$(cat "$folder/postgres_password_$role")@postgres:5432/bonghwa"
done

# One Redis user for each role; the names of roles are those of ROLE.
for role in web gateway worker-collect worker-ops beat setup; do
  keep "redis_password_$role" "$(random)"
  keep "redis_url_$role" "redis://$role:$(cat "$folder/redis_password_$role")@redis:6379/0"
done
REDIS_BEFORE_7_2=$(setting REDIS_BEFORE_7_2 "") deploy/redis/users.sh "$folder" > "$folder/.new"
chmod 444 "$folder/.new"
mv -f "$folder/.new" "$folder/redis_users"

# Filled in by hand; empty while the simulator or nothing stands in for them.
for name in kiwoom_app_key kiwoom_secret_key notify_urls deadman_url; do
  keep "$name" ""
done

socket=$(setting DOCKER_SOCKET /var/run/docker.sock)
[ -S "$socket" ] || { echo "prepare: there is no Docker socket at $socket; set DOCKER_SOCKET" >&2; exit 1; }
setting DOCKER_GID "$(stat -c %g "$socket")" > /dev/null

echo "prepare: secrets/ and .env are ready; sign in as admin with the password in secrets/admin_password"
