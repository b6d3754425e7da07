# Runs one server and outlives its owner just long enough to clean up.
#
# Arguments: the private directory, then the server's command line. Orders come on standard
# input, one a line; each is answered with one line. When standard input ends, because the
# owner dropped the server or because it died in whatever way, the server is killed and the
# directory removed.
#
# Signals only end the wait for orders. They are trapped, not ignored, because a server would
# inherit the ignoring. HUP comes from the kernel when the owner dies while the server is
# stopped, PIPE when the owner is gone before the answer.
trap : HUP INT TERM PIPE
directory=$1
shift
trouble=$(mkdir -m 700 -- "$directory" 2>&1) || { echo "$trouble"; exit 1; }
echo ready
server=
while read -r order; do
    case $order in
        start)
            "$@" </dev/null >>"$directory/output" 2>&1 &
            server=$!
            echo "$server"
            ;;
        reap)
            wait "$server"
            echo "$?"
            server=
            ;;
        *)
            kill -s "$order" "$server"
            echo "$?"
            ;;
    esac
done
if [ -n "$server" ]; then
    kill -s KILL "$server"
    wait "$server"
fi
cd /
rm -rf -- "$directory"
