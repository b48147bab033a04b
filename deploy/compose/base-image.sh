#!/bin/sh
# Makes one Debian image that can stand in for every base image of compose.yaml, without a registry: Python,
# Redis, nginx and PostgreSQL from Debian's packages (of whatever mirror this machine's apt uses).
#
#   deploy/compose/base-image.sh FILE     writes the root file system to FILE (tar; about 400 MB)
#   docker import FILE bonghwa-debian     makes the image of it
#
# Needs root, mmdebstrap and Debian's archive keyring.
set -eu

[ $# -eq 1 ] || { sed -n '2,9s/^# \{0,1\}//p' "$0" >&2; exit 2; }

# The official images of Redis and PostgreSQL use 999 too; PostgreSQL wants a name for it. Its programs come
# before Debian's wrappers, which look for a cluster of Debian's own.
mmdebstrap --quiet --variant=minbase --format=tar \
  --include=python3,redis-server,nginx,postgresql-15 \
  --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
  --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-include=/usr/share/doc/*/copyright' \
  --essential-hook='echo "postgres:x:999:" >> "$1/etc/group"' \
  --essential-hook='echo "postgres:x:999:999::/var/lib/postgresql:/bin/sh" >> "$1/etc/passwd"' \
  --essential-hook='printf "#!/bin/sh\nexit 101\n" > "$1/usr/sbin/policy-rc.d" && chmod 755 "$1/usr/sbin/policy-rc.d"' \
  --essential-hook='mkdir -p "$1/etc/postgresql-common" && echo "create_main_cluster = false" > "$1/etc/postgresql-common/createcluster.conf"' \
  --customize-hook='chroot "$1" sh -c "ln -s /usr/lib/postgresql/15/bin/* /usr/local/bin/"' \
  --customize-hook='chroot "$1" install -d -o 999 -g 999 -m 0700 /data /var/lib/postgresql/data' \
  --customize-hook='rm -rf "$1"/var/lib/apt/lists/* "$1"/var/cache/apt/*.bin "$1"/usr/sbin/policy-rc.d' \
  bookworm "$1"
