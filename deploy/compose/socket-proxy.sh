#!/bin/sh
# Lets the rules of deploy/nginx/docker-*.conf listen on the container's own network instead of on loopback.
set -eu
sed 's/listen 127\.0\.0\.1:/listen /' /etc/bonghwa/docker.conf > /tmp/docker.conf
exec nginx -e stderr -c /etc/bonghwa/nginx.conf -g 'daemon off;'
