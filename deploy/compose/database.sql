-- Runs once, when postgres.sh makes the cluster. The password is read from its file: it is in no process list.
\set password `cat /run/secrets/database_password`
CREATE ROLE bonghwa LOGIN PASSWORD :'password';
CREATE DATABASE bonghwa OWNER bonghwa;
REVOKE ALL ON DATABASE bonghwa FROM PUBLIC;
