#!/bin/sh
# users.sh FOLDER: print the ACL file of the users in users.acl. FOLDER holds a file redis_password_ROLE for each
# user; only the password's SHA-256 is printed. For `aclfile` of redis.conf, kept where only Redis may read it.
# REDIS_BEFORE_7_2=1 leaves out the one right that Redis 7.0 (Debian 12's) does not know.
set -eu
folder=$1

newer=+client.setinfo
[ -n "${REDIS_BEFORE_7_2:-}" ] || newer='^$'
sed "/^#/d;/^\$/d;s/ $newer//" "$(dirname "$0")/users.acl" | awk '
  /^user / { if (line) print line; line = $0; next }
  { sub(/^ +/, " "); line = line $0 }
  END { print line }
' | while read -r word role state rights; do
  case "$role $rights" in
    "default "* | *nopass*) printf '%s %s %s %s\n' "$word" "$role" "$state" "$rights" ;;
    *)
      # The command substitution drops the end of the line, as reading NAME_FILE does.
      password=$(cat "$folder/redis_password_$role")
      [ -n "$password" ] || { echo "users.sh: $folder/redis_password_$role is empty" >&2; exit 1; }
      hash=$(printf '%s' "$password" | sha256sum | cut -d ' ' -f 1)
      printf '%s %s %s #%s %s\n' "$word" "$role" "$state" "$hash" "$rights"
      ;;
  esac
done
