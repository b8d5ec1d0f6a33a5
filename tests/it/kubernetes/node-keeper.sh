# Removes what a node leaves behind where no namespace ends with it, its cgroups, once whoever started it is gone.
# $1: the cgroup's name.
read -r _
tries=0
while [ $((tries += 1)) -lt 200 ]; do
    left=$(find /sys/fs/cgroup -depth -type d '(' -name "$1" -o -path "*/$1/*" ')' 2>/dev/null)
    [ -n "$left" ] || exit 0
    for one in $left; do rmdir "$one" 2>/dev/null; done
    sleep 0.1
done
