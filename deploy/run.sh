#!/bin/sh
# Runs a dataflow until it ends or is stopped: run.sh ingest|silver|ohlcv|tables|repair|cold
#
# All but ingest, repair and cold have a recovery store, in $RECOVERY or by default in
# data/recovery/DATAFLOW. The first start creates it; a snapshot is taken every
# $SNAPSHOT_SECONDS, by default 10. If STAY names a file, a dataflow whose feed has ended
# creates that file and waits to be stopped, as an ended container would be restarted.
set -eu

dataflow=${1-}
case "$# $dataflow" in
"1 ingest" | "1 silver" | "1 ohlcv" | "1 tables" | "1 repair" | "1 cold") ;;
*)
    echo "usage: run.sh ingest|silver|ohlcv|tables|repair|cold" >&2
    exit 2
    ;;
esac

if [ -z "${PYTHON-}" ]; then
    PYTHON=python
    [ ! -x .venv/bin/python ] || PYTHON=.venv/bin/python
fi

case "$dataflow" in
ingest | repair | cold) set -- ;;
*)
    store=${RECOVERY:-data/recovery/$dataflow}
    if [ ! -e "$store/part-0.sqlite3" ]; then
        # Created beside its place, so that an aborted start leaves no half store.
        rm -rf "$store/new"
        mkdir -p "$store/new"
        "$PYTHON" -m bytewax.recovery "$store/new" 1
        mv "$store/new/part-0.sqlite3" "$store/"
        rm -rf "$store/new"
    fi
    # Everything before a snapshot is stored first; only the last snapshot is kept. Later
    # messages are read again after a crash.
    set -- -r "$store" -s "${SNAPSHOT_SECONDS:-10}" -b 0
    ;;
esac

if [ -z "${STAY-}" ]; then
    exec "$PYTHON" -m bytewax.run "dataflows.$dataflow" "$@"
fi

stopped=
process=
trap 'stopped=yes; kill -TERM $process 2>/dev/null || true' TERM INT
# Takes up a changed instruments file.
trap '[ -z "$process" ] || kill -HUP $process 2>/dev/null || true' HUP
"$PYTHON" -m bytewax.run "dataflows.$dataflow" "$@" &
process=$!
[ -z "$stopped" ] || kill -TERM "$process"
# A signal interrupts wait; the process ends once it has stored everything it read.
code=0
wait "$process" || code=$?
while kill -0 "$process" 2>/dev/null; do
    code=0
    wait "$process" || code=$?
done
if [ "$code" = 0 ] && [ -z "$stopped" ]; then
    echo "The feed has ended; waiting to be stopped."
    trap '' HUP
    sleep infinity &
    process=$!
    [ -z "$stopped" ] || kill -TERM "$process"
    : >"$STAY"
    wait "$process" || true
fi
exit "$code"
