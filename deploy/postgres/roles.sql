-- Roles of Bonghwa in PostgreSQL 15 or newer. Run by a superuser in an empty database, before the first
-- `manage.py migrate`; compose.yaml's PostgreSQL does so when it makes its cluster:
--
--   psql -d bonghwa -v secrets=/run/secrets -f deploy/postgres/roles.sql
--
-- Passwords come from files of the folder `secrets`, so that they are in no process list: postgres_password_owner,
-- _app, _ops and _gateway. Safe to repeat; with other passwords in the files it changes them.
--
--   bonghwa_owner    owns the tables: migrations, backup, restore; no process that runs all day
--   bonghwa_app      web, collect, beat: reads and writes rows; audit entries can be added, not changed or removed
--   bonghwa_ops      the ops worker: the same, and removes audit entries whose days are over
--   bonghwa_gateway  the gateway: reads the market's days
--
-- What they may do with each table, the owner gives at the end of every `manage.py migrate`
-- (portal/database_roles.py).
\set ON_ERROR_STOP on
SET client_min_messages = warning;
\if :{?secrets}
\else
  \set secrets /run/secrets
\endif
\set owner `cat :'secrets'/postgres_password_owner`
\set app `cat :'secrets'/postgres_password_app`
\set ops `cat :'secrets'/postgres_password_ops`
\set gateway `cat :'secrets'/postgres_password_gateway`

SELECT format('CREATE ROLE %I', name)
  FROM unnest(ARRAY['bonghwa_owner', 'bonghwa_app', 'bonghwa_ops', 'bonghwa_gateway']) AS name
 WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name) \gexec

-- The passwords stay out of the server's log, whatever it logs.
SET log_statement = 'none';
SET log_min_error_statement = 'panic';
ALTER ROLE bonghwa_owner LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS PASSWORD :'owner';
ALTER ROLE bonghwa_app LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS PASSWORD :'app';
ALTER ROLE bonghwa_ops LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS PASSWORD :'ops';
ALTER ROLE bonghwa_gateway LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS
  PASSWORD :'gateway';
RESET log_statement;
RESET log_min_error_statement;

GRANT bonghwa_app TO bonghwa_ops;
REVOKE ALL ON DATABASE :"DBNAME" FROM PUBLIC;
GRANT CONNECT ON DATABASE :"DBNAME" TO bonghwa_owner, bonghwa_app, bonghwa_gateway;
ALTER DATABASE :"DBNAME" OWNER TO bonghwa_owner;
ALTER SCHEMA public OWNER TO bonghwa_owner;
REVOKE ALL ON SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA public TO bonghwa_app, bonghwa_gateway;
