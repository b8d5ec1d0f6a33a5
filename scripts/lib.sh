# Shared by the scripts in this folder; sourced, never run. Needs bash and coreutils.

# Where cargo puts what it builds, wherever CARGO_TARGET_DIR or a cargo configuration says.
target_directory() {
    cargo metadata --no-deps --offline --format-version 1 | grep -o '"target_directory":"[^"]*"' | cut -d '"' -f 4
}

# The source trees of all dependencies, one path a line: real code that is on every machine that built this project.
dependency_sources() {
    local host
    host=$(rustc -vV | sed -n 's/^host: //p')
    cargo metadata --locked --format-version 1 --filter-platform "$host" |
        grep -o '"manifest_path":"[^"]*"' | cut -d '"' -f 4 | sed 's|/Cargo.toml$||' | grep -vxF "$PWD" | sort
}

# Where the Python programs of tests/requirements.txt are: the tests find them in the same way.
python_directory() {
    echo "${XDG_CACHE_HOME:-$HOME/.cache}/workspace-hygiene/python-$(sha256sum tests/requirements.txt | cut -c 1-16)"
}

# The version that the programs of Kubernetes say they have, since clients look at it, and that helm 3 takes for the cluster's
# where it asks none.
kubernetes_ldflags() {
    local version minor at=k8s.io/component-base/version helm=helm.sh/helm/v3/pkg/chartutil.k8sVersion
    version=$(sed -n 's/^\tk8s.io\/kubernetes \(v[0-9.]*\).*/\1/p' tests/kubernetes/go.mod)
    minor=$(cut -d . -f 2 <<<"$version")
    printf -- '-s -w -X %s.gitVersion=%s -X %s.gitMajor=1 -X %s.gitMinor=%s' $at "$version" $at $at "$minor"
    printf -- ' -X %sMajor=1 -X %sMinor=%s\n' $helm $helm "$minor"
}

# Where the programs of Kubernetes are that the tests run: the work of scripts/kubernetes.
kubernetes_directory() {
    local key
    key=$({ cat tests/kubernetes/{,helm3/}go.{mod,sum} && kubernetes_ldflags && uname -m; } | sha256sum | cut -c 1-16)
    echo "${XDG_CACHE_HOME:-$HOME/.cache}/workspace-hygiene/kubernetes-$key"
}

# Removes a tree that may hold read-only directories. Never crosses into another file system.
remove_tree() {
    [ -e "$1" ] || return 0
    chmod -R u+rwX "$1" 2>/dev/null || true
    rm -rf --one-file-system "$1"
}

fail() {
    printf '%s: %s\n' "${0##*/}" "$*" >&2
    exit 1
}
