# Makes what the parts of a cluster and its users prove themselves with, in the folder of the cluster, with openssl 3:
#   sh certificates.sh cluster DIR                      the authority, the API server's certificate, the ServiceAccounts' key
#   sh certificates.sh user DIR FILE PORT NAME GROUP    DIR/FILE.kubeconfig of the user NAME, and of GROUP unless that is empty
set -eu
umask 077
what=$1
cd "$2"

new_key() { openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:prime256v1 -out "$1.key" 2>/dev/null; }

# $1: name of the files; $2: subject; the rest: extensions.
signed() {
    name=$1 subject=$2
    shift 2
    new_key "$name"
    openssl req -x509 -CA ca.pem -CAkey ca.key -key "$name.key" -out "$name.pem" -days 30 -subj "$subject" \
        -addext basicConstraints=critical,CA:FALSE -addext keyUsage=critical,digitalSignature "$@"
}

embedded() { openssl base64 -A -in "$1"; }

case $what in
    cluster)
        new_key ca
        openssl req -x509 -key ca.key -out ca.pem -days 30 -subj /CN=authority \
            -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign,cRLSign
        signed server /CN=kube-apiserver -addext extendedKeyUsage=serverAuth \
            -addext 'subjectAltName=DNS:localhost,DNS:kubernetes.default.svc,IP:127.0.0.1,IP:10.96.0.1'
        new_key service-account
        openssl pkey -in service-account.key -pubout -out service-account.pub
        ;;
    user)
        file=$3 port=$4 group=${6:+/O=$6}
        signed "$file" "$group/CN=$5" -addext extendedKeyUsage=clientAuth
        cat >"$file.kubeconfig" <<END
apiVersion: v1
kind: Config
current-context: hygiene
contexts:
- {name: hygiene, context: {cluster: hygiene, user: "$5"}}
clusters:
- name: hygiene
  cluster:
    server: https://127.0.0.1:$port
    certificate-authority-data: $(embedded ca.pem)
users:
- name: "$5"
  user:
    client-certificate-data: $(embedded "$file.pem")
    client-key-data: $(embedded "$file.key")
END
        ;;
esac
