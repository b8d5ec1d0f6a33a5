# Makes the volume of the real-input check: real trees, every kind of entry planted among them, a session store. Sourced by
# scripts/real-input, which says where and how large. Leaves behind what every entry's verdict must be ($work/expected), the
# names of the victims (victims), how many orphans there are (orphans), and what was mounted (mounted).

# ---- Real trees, each of at least $per files: one workspace is a copy of one of them.
per=$(((files + workspaces - 1) / workspaces + 10))
begin=$(seconds)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/workspace-hygiene/sources
kinds=()

# npm: packages as `npm install` leaves them, with the links in node_modules/.bin.
from_npm() {
    local at=$cache/npm-1
    if [ ! -e "$at/done" ]; then
        rm -rf "$at" && mkdir -p "$at"
        (cd "$at" && echo '{"private": true}' >package.json &&
            timeout 300 npm install --silent --ignore-scripts --no-audit --no-fund --no-progress \
                eslint@9 date-fns@4 webpack@5 express@5 @babel/core@7) </dev/null >"$at/log" 2>&1 || return 1
        touch "$at/done"
    fi
    take npm "$at/node_modules"
    mkdir -p "$trees/npm/.bin" && cp -a "$at/node_modules/.bin/." "$trees/npm/.bin/"
}

# Go: modules as `go mod download` leaves them, read-only.
from_go() {
    local at=$cache/go-1 module
    if [ ! -e "$at/done" ]; then
        remove_tree "$at" && mkdir -p "$at"
        for module in golang.org/x/text@v0.21.0 golang.org/x/tools@v0.28.0 golang.org/x/net@v0.33.0; do
            (cd "$at" && GOMODCACHE=$at/mod GOFLAGS=-modcacherw=false timeout 300 go mod download "$module") \
                </dev/null >>"$at/log" 2>&1 || return 1
        done
        touch "$at/done"
    fi
    take go "$at/mod/golang.org/x"
}

# Copies children of the directory $2 into a tree $1 till it has enough files, leaving out what would make it too many.
take() {
    local tree=$trees/$1 child have=0 more
    mkdir -p "$tree"
    for child in "$2"/*; do
        more=$(find "$child" -type f | wc -l)
        [ $((have + more)) -le $((per * 5 / 4)) ] || continue
        cp -a "$child" "$tree/"
        have=$((have + more))
        [ $have -lt "$per" ] || break
    done
    enough "$1"
}

# A tree that turned out too small is filled up with the sources of our dependencies.
next=0
fill() {
    local tree=$trees/$1 copy=0
    mkdir -p "$tree"
    until [ "$(find "$tree" -type f | wc -l)" -ge "$per" ]; do
        [ $next -lt ${#sources[@]} ] || { next=0 && copy=$((copy + 1)); }
        [ $copy -lt 50 ] || fail "the sources of the dependencies are too few"
        mkdir -p "$tree/vendor-$copy"
        [ -e "$tree/vendor-$copy/${sources[next]##*/}" ] || cp -a "${sources[next]}" "$tree/vendor-$copy/"
        next=$((next + 1))
    done
}
enough() { fill "$1" && kinds+=("$1"); }

# Leaves out the few that are most of all files or most of all bytes.
mapfile -t sources < <(dependency_sources | grep -vE '/(k8s-openapi|linux-raw-sys|libc|libsqlite3-sys|aws-lc-sys|tracing)-[0-9]')
[ ${#sources[@]} -gt 50 ] || fail "the sources of the dependencies were not found"
[ "$registries" != auto ] || registries=npm,go
for registry in ${registries//,/ }; do
    case $registry in
    none) ;;
    npm | go)
        if ! command -v "$registry" >/dev/null; then
            note "$registry is not installed: no trees from there"
        elif ! "from_$registry"; then
            note "$registry did not answer: no trees from there (see $cache)"
            remove_tree "$trees/$registry"
        fi
        ;;
    *) fail "--registries knows npm, go and none, not $registry" ;;
    esac
done
for number in 1 2 3 4; do enough "cargo-$number"; done
find "$trees" -exec touch --no-dereference --date '10 days ago' {} +
note "trees: ${kinds[*]}, $(find "$trees" -type f | wc -l) files, $(since "$begin") s"

# ---- The volume. Ids are made from what they are for, so that two runs make the same volume.
uuid() {
    local hash
    hash=$(printf '%s' "$*" | sha256sum)
    printf '%s-%s-4%s-8%s-%s\n' "${hash:0:8}" "${hash:8:4}" "${hash:12:3}" "${hash:15:3}" "${hash:18:12}"
}
copied=0
copy() {
    cp -a --reflink=auto "$trees/${kinds[copied % ${#kinds[@]}]}" "$volume/$1"
    copied=$((copied + 1))
}
age() { find "$1" -exec touch --no-dereference --date "${2:-10 days ago}" {} +; }
# Records what the plan must say of an entry. Kept orphans have the oldest roots, so that the first plan inspects them.
expect() { printf '%s\t%s\n' "$2" "$1" >>"$work/expected"; }
small() { mkdir -p "$volume/$1/src" && cp -a "${sources[0]}/src/." "$volume/$1/src/" && age "$volume/$1" '20 days ago'; }

begin=$(seconds)
victims=()
lives=()
wanted_victims=$((workspaces / 5))
for ((number = 0; number < workspaces; number++)); do
    if [ $number -lt $wanted_victims ]; then
        name=$(uuid victim $number) && victims+=("$name") && expect Victim "$name"
    else
        name=$(uuid live $number) && lives+=("$name") && expect LiveSession "$name"
    fi
    copy "$name"
done

# What may be found inside a workspace; in victims and in live ones alike.
mkdir -p "$outside/dir/sub"
echo precious >"$outside/precious"
echo precious >"$outside/dir/sub/file"
chmod 600 "$outside/precious"
plant_inside() {
    local in=$volume/$1
    ln -s "$outside/precious" "$in/to-a-file-outside"
    ln -s "$outside/dir" "$in/to-a-directory-outside"
    ln -s "../${lives[0]}" "$in/to-a-live-one"
    ln -s ../../../../../../../../etc/passwd "$in/far-outside"
    ln -s nowhere "$in/dangling"
    ln -s . "$in/circle"
    ln -s / "$in/root"
    mkdir -p "$in/odd" "$in/empty/empty/empty" "$in/many"
    printf 'x' >"$in/odd/"$'not utf-8: \xff\xfe'
    printf 'x' >"$in/odd/"$'new\nline'
    printf 'x' >"$in/odd/"$'\e[31mescape'
    printf 'x' >"$in/odd/-rf"
    printf 'x' >"$in/odd/ *"
    printf 'x' >"$in/odd/$(printf 'n%.0s' {1..255})"
    mkdir "$in/odd/"$'\xc3\x28'
    mkfifo "$in/odd/fifo"
    (cd "$in/odd" && perl -MSocket -e 'socket(S, PF_UNIX, SOCK_STREAM, 0) && bind(S, sockaddr_un("socket")) or die') \
        2>/dev/null || note "no perl: no sockets planted"
    truncate -s 3M "$in/odd/sparse"
    printf 'x' >"$in/odd/setuid" && chmod 6755 "$in/odd/setuid"
    printf 'x' >"$in/odd/secret" && chmod 000 "$in/odd/secret"
    (cd "$in/many" && touch $(seq 3000))
    local deep
    deep=$in/deep$(printf '/d%.0s' {1..400})
    mkdir -p "$deep" && echo deep >"$deep/file"
    mkdir "$in/read-only" && cp -a "${sources[1]}/src" "$in/read-only/" && chmod -R a-w "$in/read-only"
    # Names are read from the tree itself: hard links between two workspaces, which only one of them may lose.
    ln "$volume/${lives[1]}/shared-inode" "$in/hard-link-to-a-live-one"
    age "$in"
}
echo "shared by hard links" >"$volume/${lives[1]}/shared-inode"
for name in "${victims[@]:0:3}" "${lives[@]:0:3}"; do
    [ "$name" = "${lives[1]}" ] || plant_inside "$name"
done
age "$volume/${lives[1]}"
# A keep file that has run out keeps nothing.
echo 2020-01-01 >"$volume/${victims[3]}/.hygiene-keep" && age "$volume/${victims[3]}"

# More than one per cent of them would hold the sweep, also once the victims are gone.
near=$(uuid capitals) compact=$(uuid compact)
if [ "$workspaces" -ge 150 ]; then name=${near^^} && small "$name" && expect NearMatch "$name"; fi
if [ "$workspaces" -ge 300 ]; then name=${compact//-/}---- && small "$name" && expect NearMatch "$name"; fi
name=$(uuid twins) && small "$name" && small "${name^^}" && expect DuplicateID "$name" && expect DuplicateID "${name^^}"
name=cafe0000-$(uuid glob | cut -c 10-) && small "$name" && expect KeepGlob "$name"
name=$(uuid keep file) && small "$name" && touch "$volume/$name/.hygiene-keep" && age "$volume/$name" && expect KeepFile "$name"
name=$(uuid keep date) && small "$name" && echo 2199-12-31 >"$volume/$name/.hygiene-keep" && age "$volume/$name" && expect KeepFile "$name"
name=$(uuid keep text) && small "$name" && echo "ask Kim first" >"$volume/$name/.hygiene-keep" && age "$volume/$name" && expect KeepFile "$name"
name=$(uuid keep link) && small "$name" && ln -s nowhere "$volume/$name/.hygiene-keep" && age "$volume/$name" && expect KeepFile "$name"
for name in backups lost+found .snapshot "$(uuid suffix).bak" " $(uuid space)" $'esc\e[31m' "$(uuid short | cut -c 2-)"; do
    small "$name" && expect ForeignName "$name"
done
small $'not-utf-8-\xff' && expect NotUTF8 $'not-utf-8-\xef\xbf\xbd'
name=$(uuid file) && echo "a file" >"$volume/$name" && age "$volume/$name" && expect NotADirectory "$name"
name=$(uuid fifo) && mkfifo "$volume/$name" && age "$volume/$name" && expect NotADirectory "$name"
name=$(uuid link out) && ln -s "$outside/dir" "$volume/$name" && age "$volume/$name" && expect Symlink "$name"
name=$(uuid link live) && ln -s "${lives[0]}" "$volume/$name" && age "$volume/$name" && expect Symlink "$name"
name=$(uuid link dangling) && ln -s nowhere "$volume/$name" && age "$volume/$name" && expect Symlink "$name"
name=$(uuid young root) && small "$name" && touch "$volume/$name" && expect TooYoung "$name"
name=$(uuid future root) && small "$name" && touch --date '2 days' "$volume/$name" && expect FutureTime "$name"
orphans=$wanted_victims
name=$(uuid young inside) && small "$name" && touch "$volume/$name/src/lib.rs" && expect ActiveInside "$name"
name=$(uuid young deep) && small "$name" && mkdir -p "$volume/$name/a/b/c" && age "$volume/$name" '20 days ago' &&
    touch "$volume/$name/a/b/c" && expect ActiveInside "$name"
name=$(uuid young link) && small "$name" && ln -s nowhere "$volume/$name/src/new" && age "$volume/$name" '20 days ago' &&
    touch --no-dereference "$volume/$name/src/new" && expect ActiveInside "$name"
name=$(uuid future inside) && small "$name" && touch --date '2 days' "$volume/$name/src/lib.rs" && expect FutureInside "$name"
orphans=$((orphans + 4))
# A whole volume inside a workspace holds everything; it is taken away again once that was seen.
nested=$(uuid nested) && small "$nested" && mkdir -p "$volume/$nested/src/.hygiene/journal" && age "$volume/$nested" '20 days ago'
# Made today, and live: a database of yesterday does not know them.
todays=()
for number in 1 2 3 4 5; do
    name=$(uuid today $number) && small "$name" && touch "$volume/$name" && todays+=("$name") && expect LiveSession "$name"
done
if [ -n "$may_mount" ]; then
    name=$(uuid mount inside) && small "$name" && mkdir "$volume/$name/src/mnt" && age "$volume/$name" '20 days ago'
    mount --bind "$outside" "$volume/$name/src/mnt" && mounted+=("$volume/$name/src/mnt") && expect MountPointInside "$name"
    name=$(uuid mount file) && small "$name" && mount --bind "$outside/precious" "$volume/$name/src/lib.rs" &&
        mounted+=("$volume/$name/src/lib.rs") && expect MountPointInside "$name"
    name=$(uuid mount root) && small "$name" && mount --bind "$outside" "$volume/$name" && mounted+=("$volume/$name") &&
        expect MountPoint "$name"
    orphans=$((orphans + 2))
else
    note "not root, or no mount namespaces: no bind mounts planted"
fi
if [ "$(id -u)" != 0 ]; then
    name=$(uuid unreadable inside) && small "$name" && mkdir "$volume/$name/closed" && age "$volume/$name" '20 days ago' &&
        chmod 000 "$volume/$name/closed" && expect InspectionIncomplete "$name"
    name=$(uuid unreadable root) && small "$name" && chmod 000 "$volume/$name" && expect RootUnreadable "$name"
    orphans=$((orphans + 1))
fi

# The session store, in WAL mode as most services run it.
"$sql" "$work/sessions.db" "pragma journal_mode = wal;
    create table session (id text primary key, deleted_at text);
    insert into session values ('${near}', null), ('${compact}', null), ('no-directory', null)" >/dev/null
printf '"%s"\n' "${lives[@]}" "${todays[@]}" | paste -sd , | sed 's/.*/[&]/' |
    "$sql" "$work/sessions.db" "insert into session select value, null from json_each(?1)"
"$sql" "$work/sessions.db" "insert into session values ('${victims[0]}', '2026-01-01')"
count() { { find "$volume" -xdev "$@" 2>/dev/null || true; } | wc -l; } # without root not everything can be seen
made_files=$(count -type f) made_entries=$(count) made_workspaces=$(count -mindepth 1 -maxdepth 1 -type d)
note "volume: $made_workspaces workspaces and other directories, $made_files files, $made_entries entries," \
    "$({ du -xsh "$volume" 2>/dev/null || true; } | cut -f 1) on $(stat -f -c %T "$volume"), $(since "$begin") s"
[ "$made_files" -ge "$files" ] || fail "only $made_files files were made"
