//! Objects as an API server sends them, with all that nobody who enforces asks for.

use std::net::Ipv4Addr;

/// What tells one pod from another.
#[derive(Clone, Debug)]
pub struct ServedPod {
    /// Makes its name and UID.
    pub index: usize,
    /// `tenant-NUMBER`.
    pub namespace: usize,
    /// `app-NUMBER`, also its label `app`.
    pub app: usize,
    /// `node-NUMBER`.
    pub node: usize,
    /// Its address.
    pub ip: Ipv4Addr,
    /// Its label `tier`.
    pub tier: &'static str,
}

impl ServedPod {
    /// One of many pods, spread over namespaces and nodes. A node's addresses are those of `10.X.Y.0/24`.
    pub fn new(index: usize, namespaces: usize, nodes: usize) -> ServedPod {
        let (node, place) = (index % nodes, index / nodes);
        let ip = Ipv4Addr::from(0x0a00_0000 + ((node as u32) << 8) + place as u32 + 2);
        ServedPod { index, namespace: index % namespaces, app: index % 7, node, ip, tier: "backend" }
    }
}

/// A pod of a Deployment with one container, as an API server sends it.
pub fn pod(served: &ServedPod) -> String {
    let ServedPod { index, namespace, app, node, ip, tier } = served;
    let owner = |manager: &str, fields: &str| {
        format!(
            r#"{{"manager":"{manager}","operation":"Update","apiVersion":"v1","time":"2026-11-01T10:00:00Z","fieldsType":"FieldsV1","fieldsV1":{{{fields}}}}}"#
        )
    };
    let condition = |kind: &str| {
        format!(
            r#"{{"type":"{kind}","observedGeneration":1,"status":"True","lastProbeTime":null,"lastTransitionTime":"2026-11-01T10:00:01Z"}}"#
        )
    };
    let controller = owner(
        "kube-controller-manager",
        r#""f:metadata":{"f:generateName":{},"f:labels":{".":{},"f:app":{},"f:pod-template-hash":{}},"f:ownerReferences":{".":{},"k:{\"uid\":\"4c4e0d6f\"}":{}}},"f:spec":{"f:containers":{"k:{\"name\":\"main\"}":{".":{},"f:image":{},"f:imagePullPolicy":{},"f:name":{},"f:ports":{".":{},"k:{\"containerPort\":8080,\"protocol\":\"TCP\"}":{".":{},"f:containerPort":{},"f:name":{},"f:protocol":{}}},"f:resources":{},"f:terminationMessagePath":{},"f:terminationMessagePolicy":{}}},"f:dnsPolicy":{},"f:enableServiceLinks":{},"f:restartPolicy":{},"f:schedulerName":{},"f:securityContext":{},"f:terminationGracePeriodSeconds":{}}"#,
    );
    let kubelet = owner(
        "kubelet",
        r#""f:status":{"f:conditions":{"k:{\"type\":\"ContainersReady\"}":{".":{},"f:lastProbeTime":{},"f:lastTransitionTime":{},"f:status":{},"f:type":{}},"k:{\"type\":\"Ready\"}":{".":{},"f:status":{},"f:type":{}}},"f:containerStatuses":{},"f:hostIP":{},"f:phase":{},"f:podIP":{},"f:podIPs":{".":{},"k:{\"ip\":\"10.0.0.1\"}":{".":{},"f:ip":{}}},"f:startTime":{}}"#,
    );
    let conditions: Vec<String> =
        ["PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled"]
            .map(condition)
            .into();
    format!(
        r#"{{"kind":"Pod","apiVersion":"v1","metadata":{{"name":"app-{app}-5d4f8c7b9-{index:05x}","generateName":"app-{app}-5d4f8c7b9-","namespace":"tenant-{namespace}","uid":"6b1f0c1e-0000-4000-8000-{index:012x}","resourceVersion":"{}","generation":1,"creationTimestamp":"2026-11-01T10:00:00Z","labels":{{"app":"app-{app}","tier":"{tier}","pod-template-hash":"5d4f8c7b9"}},"annotations":{{"cni.example/status":"[{{\"interface\":\"eth0\",\"ips\":[\"{ip}\"]}}]"}},"ownerReferences":[{{"apiVersion":"apps/v1","kind":"ReplicaSet","name":"app-{app}-5d4f8c7b9","uid":"4c4e0d6f-0000-4000-8000-000000000001","controller":true,"blockOwnerDeletion":true}}],"managedFields":[{controller},{kubelet}]}},"spec":{{"volumes":[{{"name":"kube-api-access-x7k2p","projected":{{"sources":[{{"serviceAccountToken":{{"expirationSeconds":3607,"path":"token"}}}},{{"configMap":{{"name":"kube-root-ca.crt","items":[{{"key":"ca.crt","path":"ca.crt"}}]}}}}],"defaultMode":420}}}}],"containers":[{{"name":"main","image":"registry.example/app-{app}:1.2.3","ports":[{{"name":"http","containerPort":8080,"protocol":"TCP"}}],"env":[{{"name":"DB_HOST","value":"db.tenant-{namespace}.svc"}}],"resources":{{"requests":{{"cpu":"100m","memory":"128Mi"}}}},"volumeMounts":[{{"name":"kube-api-access-x7k2p","readOnly":true,"mountPath":"/var/run/secrets/kubernetes.io/serviceaccount"}}],"terminationMessagePath":"/dev/termination-log","imagePullPolicy":"IfNotPresent"}}],"restartPolicy":"Always","terminationGracePeriodSeconds":30,"dnsPolicy":"ClusterFirst","serviceAccountName":"default","nodeName":"node-{}","securityContext":{{}},"schedulerName":"default-scheduler","tolerations":[{{"key":"node.kubernetes.io/not-ready","operator":"Exists","effect":"NoExecute","tolerationSeconds":300}}],"priority":0,"preemptionPolicy":"PreemptLowerPriority"}},"status":{{"phase":"Running","conditions":[{}],"hostIP":"192.168.0.1","hostIPs":[{{"ip":"192.168.0.1"}}],"podIP":"{ip}","podIPs":[{{"ip":"{ip}"}}],"startTime":"2026-11-01T10:00:00Z","containerStatuses":[{{"name":"main","state":{{"running":{{"startedAt":"2026-11-01T10:00:01Z"}}}},"ready":true,"restartCount":0,"image":"registry.example/app-{app}:1.2.3"}}],"qosClass":"Burstable"}}}}"#,
        index + 1,
        node,
        conditions.join(",")
    )
}
