#!/bin/sh
# New connections between two pods of a lab, on two nodes, with real packets: how many of them became flow records, and
# what was lost where. Needs root.
#
#   sudo PODGATE=target/release/podgate benches/lab-connections.sh [CONNECTIONS_A_SECOND] [SECONDS]
set -eu

podgate=${PODGATE:-target/release/podgate}
rate=${1:-10000}
seconds=${2:-10}
lab=load-$$
dir=$(mktemp -d)
trap '"$podgate" lab down --name "$lab" >/dev/null 2>&1 || true; rm -r "$dir"' EXIT

cat >"$dir/load.yaml" <<'YAML'
apiVersion: v1
kind: Pod
metadata: {name: client, namespace: load, labels: {app: client}}
spec: {nodeName: node-a, containers: [{name: c, image: i}]}
---
apiVersion: v1
kind: Pod
metadata: {name: server, namespace: load, labels: {app: server}}
spec:
  nodeName: node-b
  containers:
  - name: c
    image: i
    ports:
    - {containerPort: 7000, protocol: UDP}
    - {containerPort: 7001, protocol: UDP}
    - {containerPort: 7002, protocol: UDP}
    - {containerPort: 7003, protocol: UDP}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: server, namespace: load}
spec:
  podSelector: {matchLabels: {app: server}}
  ingress:
  - from: [{podSelector: {matchLabels: {app: client}}}]
YAML

# A datagram from a port of its own is a connection of its own. 50,000 source ports for each of the server's four.
cat >"$dir/load.py" <<'PYTHON'
import socket, sys, time
to, rate, seconds = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
total, sent, start = rate * seconds, 0, time.monotonic()
if total > 200000:
    sys.exit("at most 200,000 connections: their ends' ports have to differ")
while sent < total:
    due = min(total, int((time.monotonic() - start) * rate))
    while sent < due:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
            one.bind(("", 10000 + sent % 50000))
            one.sendto(b"x", (to, 7000 + sent // 50000))
        sent += 1
    time.sleep(0.001)
print(f"{sent} connections in {time.monotonic() - start:.2f} s")
PYTHON

"$podgate" lab up "$dir/load.yaml" --name "$lab" >/dev/null
server=$("$podgate" lab status --name "$lab" | awk '$1 == "load/server" { print $3 }')
run=/run/podgate/lab/$lab
"$podgate" lab exec --name "$lab" load/client -- python3 "$dir/load.py" "$server" "$rate" "$seconds"
# Parts are written every two seconds.
sleep 5
echo "records on disk, and what is missing (nothing is said when nothing is):"
"$podgate" observe --flows "$run/flows" --all --group-by edge
"$podgate" observe --server "unix://$run/hubble.sock" --last 1 >/dev/null
"$podgate" observe status --server "unix://$run/hubble.sock" | grep flows
