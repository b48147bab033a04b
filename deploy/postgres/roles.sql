-- Roles of Bonghwa in PostgreSQL 15 or newer, and what each of them may do. Run by a superuser:
--
--   psql -d bonghwa -v secrets=/run/secrets -f deploy/postgres/roles.sql
--
-- Safe to repeat. Run it before the first `manage.py migrate` and once more after it; later migrations need it
-- only when they make a table that must not be changed. Passwords come from files of the folder `secrets`, so
-- that they are in no process list: postgres_password_owner, _app, _ops and _gateway.
--
--   bonghwa_owner    owns the tables: migrations, backup, restore; no process that runs all day
--   bonghwa_app      web, collect, beat: reads and writes rows; audit entries can be added, not changed or removed
--   bonghwa_ops      the ops worker: the same, and removes audit entries whose days are over
--   bonghwa_gateway  the gateway: reads the market's days
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

-- Tables that there are, and those that a migration makes.
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO bonghwa_app;
GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO bonghwa_app;
ALTER DEFAULT PRIVILEGES FOR ROLE bonghwa_owner IN SCHEMA public
  GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO bonghwa_app;
ALTER DEFAULT PRIVILEGES FOR ROLE bonghwa_owner IN SCHEMA public GRANT USAGE ON SEQUENCES TO bonghwa_app;

-- What the app must not rewrite: the audit's entries, the mark of its end, and which migrations ran.
SELECT format('REVOKE %s ON %I FROM bonghwa_app', rights, name)
  FROM (VALUES ('incidents_auditentry', 'UPDATE, DELETE'),
               ('incidents_audithead', 'DELETE'),
               ('django_migrations', 'INSERT, UPDATE, DELETE')) AS kept (name, rights)
 WHERE to_regclass(name) IS NOT NULL \gexec
SELECT format('GRANT %s ON %I TO %I', rights, name, role)
  FROM (VALUES ('incidents_auditentry', 'DELETE', 'bonghwa_ops'),
               ('gateway_marketday', 'SELECT', 'bonghwa_gateway')) AS given (name, rights, role)
 WHERE to_regclass(name) IS NOT NULL \gexec
