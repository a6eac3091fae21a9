#!/bin/sh
# Starts the server on the first data folder that no other replica holds.
#
# Replicas share one volume, and each needs a folder of its own: counters then go on when a container is replaced,
# whatever its new name is. Exit code 4 of the server says that another process holds the folder.

# Pages and API need the token that is set (docs/security.md). Without one the stack's own network is trusted: its ports
# are published on loopback only.
if [ -s /run/secrets/telltale_token ]; then
  set -- --token-file /run/secrets/telltale_token "$@"
elif [ -n "$TELLTALE_TOKEN" ]; then
  set -- --token-env TELLTALE_TOKEN "$@"
else
  set -- --trust-network "$@"
fi

child=
stop() {
  trap '' TERM INT
  [ -n "$child" ] && kill -TERM "$child" 2>/dev/null
}
trap stop TERM INT

slot=1
while [ "$slot" -le 100 ]; do
  python -m server --host 0.0.0.0 --port 5000 --data "/data/replica-$slot" "$@" &
  child=$!
  wait "$child"
  code=$?
  # A signal ends `wait` early, with a code above 128, while the server is still closing its files.
  while kill -0 "$child" 2>/dev/null; do
    wait "$child"
    code=$?
  done
  [ "$code" -eq 4 ] || exit "$code"
  slot=$((slot + 1))
done
echo "all of /data/replica-1 to 100 are in use" >&2
exit 4
