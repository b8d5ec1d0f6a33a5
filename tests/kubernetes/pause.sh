# Makes the image of a pod's first container, which holds its namespaces and does nothing: sh pause.sh FILE writes an OCI archive.
# With an argument it takes memory until it gets no more.
set -eu
file=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cat >"$work/pause.c" <<'END'
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
static void end(int signal) { exit(0); }
static void bury(int signal) { while (waitpid(-1, NULL, WNOHANG) > 0); }
int main(int argc, char **argv) {
    signal(SIGTERM, end);
    signal(SIGINT, end);
    signal(SIGCHLD, bury);
    while (argc > 1) {
        char *taken = malloc(1 << 20);
        if (taken) memset(taken, 1, 1 << 20);
        usleep(10000);
    }
    for (;;) pause();
}
END
cc -O -static -o "$work/pause" "$work/pause.c"
printf 'FROM scratch\nCOPY pause /pause\nUSER 65535:65535\nENTRYPOINT ["/pause"]\n' >"$work/Containerfile"
store="--root $work/store --runroot $work/run --storage-driver vfs"
buildah $store build --quiet --isolation chroot --pull-never --format oci --file "$work/Containerfile" --tag local/pause:1 "$work" >/dev/null
buildah $store push --quiet local/pause:1 "oci-archive:$file"
