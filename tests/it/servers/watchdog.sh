# Starts a server, follows the orders on its standard input, and ends the server when there are no more: a test process that
# is killed closes that pipe too. As the parent of the server it may use its pid, which is nobody else's until it is waited for.
# $1: the folder of the server; the rest: its command line.
dir=$1
shift
"$@" </dev/null >>"$dir/log" 2>&1 &
server=$!
echo "$server"

gone() {
    read -r _ _ state _ 2>/dev/null <"/proc/$1/stat" || return 0
    [ "$state" = Z ]
}

# The server and its children. Those of PostgreSQL have sessions of their own, so that no signal to a group reaches them.
all() {
    echo "$server" $(cat "/proc/$server/task/$server/children" 2>/dev/null)
}

# A server that is stopped has no new children while they are counted.
end() {
    kill -STOP "$server" 2>/dev/null
    ended=$(all)
    kill -KILL $ended 2>/dev/null
    wait "$server" 2>/dev/null
    for pid in $ended; do
        until gone "$pid"; do sleep 0.01; done
    done
    # The shared memory by which PostgreSQL knows that a data directory is in use stays when it is killed.
    read -r _ memory 2>/dev/null <<EOF
$(sed -n 7p "$dir/data/postmaster.pid" 2>/dev/null)
EOF
    [ -z "$memory" ] || ipcrm -m "$memory" 2>/dev/null
    exit
}

while read -r order signal; do
    case $order in
        all)
            [ "$signal" != STOP ] || kill -STOP "$server"
            kill "-$signal" $(all)
            ;;
        server) kill "-$signal" "$server" ;;
        end) end ;;
    esac 2>/dev/null
    echo done
done
end
