# Runs Steadfast for the demo and cleans up when the demo is gone.
#
# Arguments: the private directory, then Steadfast's command line. When standard input ends,
# because the demo is over or because it died in whatever way, Steadfast is killed and the
# directory removed. Steadfast's configuration is steadfast.toml in it. Standard error is Steadfast's alone, so that its end is seen.
trap : HUP INT TERM PIPE
directory=$1
shift
mkdir -m 700 -- "$directory" || exit 1
# No TLS to the server, so that the links between them see the COMMITs whose answers they lose.
printf '[backend]\ntls = "disabled"\n' >"$directory/steadfast.toml" || exit 1
"$@" </dev/null &
steadfast=$!
exec 2>/dev/null
read -r _
kill -s KILL "$steadfast"
wait "$steadfast"
cd /
rm -rf -- "$directory"
