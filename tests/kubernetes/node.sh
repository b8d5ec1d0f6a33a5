# The first process of a whole Kubernetes on one node: API server and what belongs to it, scheduler, containerd and kubelet. It runs
# in namespaces of its own for network, mounts and processes, so that nothing of it is seen outside, nothing of it can send anything
# off this machine, and all of it, pods too, ends with this process:
#   unshare --net --mount --pid --fork --kill-child --mount-proc sh node.sh DIR PROGRAMS NAME
# DIR is an empty folder for all that it writes; DIR/ready is there once the node is. NAME is that of its cgroup, which whoever starts
# it makes and removes. Needs runc, the CNI plugins and iproute2.
set -eu
parts=$(cd "$(dirname "$0")" && pwd)
dir=$1 programs=$2 name=$3
PATH=$programs:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export PATH HOME="$dir" KUBECONFIG="$dir/admin.kubeconfig"
cd "$dir"

# The kubelet wants to hand mounts on to containers. Ours stay in this namespace.
mount --make-rshared /
mkdir -p log cni kubelet containerd
mount -t tmpfs -o mode=755 node /run
mount --bind log /var/log

# Pods find the API server at the address of its Service without a proxy: it is one of this machine.
ip link set lo up
ip address add 10.96.0.1/32 dev lo
ip link add node type bridge
ip address add 10.231.0.1/24 dev node
ip link set node up

sh "$parts/certificates.sh" cluster "$dir"
user() { sh "$parts/certificates.sh" user "$dir" "$1" 443 "$2" "$3"; }
user admin admin system:masters
user controller-manager system:kube-controller-manager ''
user scheduler system:kube-scheduler ''
user kubelet system:node:node system:nodes

# $1: the program, with the flags of its file where there is one; the rest: further flags, which count more.
launch() {
    program=$1
    shift
    if [ -e "$parts/$program.flags" ]; then
        set -- $(sed -e '/^#/d' -e 's/{port}/443/' "$parts/$program.flags") "$@"
    fi
    "$program" "$@" </dev/null >"$program.log" 2>&1 &
}
filled() { sed -e "s|{dir}|$dir|g" -e "s|{name}|$name|g" "$parts/$1" >"$1"; }
until_succeeds() {
    tries=0
    until "$@" >/dev/null 2>&1; do
        [ $((tries += 1)) -lt 600 ] || { echo "waited in vain for: $*" && exit 1; }
        sleep 0.1
    done
}

launch etcd
launch kube-apiserver --bind-address=0.0.0.0 --kubelet-preferred-address-types=InternalIP \
    --kubelet-client-certificate=admin.pem --kubelet-client-key=admin.key
filled containerd.toml
launch containerd --config containerd.toml
filled kubelet.yaml
cp "$parts/bridge.conflist" cni/
until_succeeds kubectl get --raw /readyz
launch kube-controller-manager
launch kube-scheduler --kubeconfig=scheduler.kubeconfig --leader-elect=false --secure-port=0
until_succeeds ctr --address "$dir/containerd.sock" version
launch kubelet --config=kubelet.yaml --kubeconfig=kubelet.kubeconfig --root-dir="$dir/kubelet" \
    --hostname-override=node --node-ip=10.231.0.1
until_succeeds kubectl wait --for=condition=Ready --timeout=1s node/node
until_succeeds kubectl get serviceaccount default
touch ready
# Ends never by itself; what its children leave behind it buries.
wait
