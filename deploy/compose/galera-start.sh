#!/bin/sh
# Starts one node of the Galera cluster in a container: mariadbd's own arguments come as arguments.
# Nobody begins a second cluster beside a first one: only a folder that never belonged to one begins it, at the node that was told so (GALERA_BEGINS=1), or the node that was stopped last
# (safe_to_bootstrap). After a crash of all three, they find each other by pc.recovery; where that fails a person decides: docs/runbooks/sql-failover.md.
set -eu
state=/var/lib/mysql/grastate.dat
if [ -f "$state" ]; then
  if grep -q '^safe_to_bootstrap: *1' "$state"; then set -- "$@" --wsrep-new-cluster; fi
elif [ "${GALERA_BEGINS:-0}" = 1 ]; then
  set -- "$@" --wsrep-new-cluster
fi
exec docker-entrypoint.sh mariadbd "$@"
