//! Ingress, the Gateway API, and what of a Service leads in from outside.

#[allow(dead_code, reason = "each test file uses its own part of the support")]
mod support;

use podgate_api::{Backend, BackendPort, Gateway, Ingress, Object, Route, RouteKind, Service};
use support::check;

#[track_caller]
fn only(sentence: &str, text: &str, expect: &[&str]) -> Object {
    let mut objects = check(sentence, text, expect).objects;
    assert_eq!(objects.len(), 1, "{sentence}");
    objects.remove(0)
}

/// The Ingress with this spec, which starts at line 5.
#[track_caller]
fn ingress(sentence: &str, version: &str, spec: &str, expect: &[&str]) -> Ingress {
    let text = format!(
        "apiVersion: {version}\nkind: Ingress\nmetadata: {{name: i, namespace: shop}}\nspec:\n{spec}\n"
    );
    let Object::Ingress(found) = only(sentence, &text, expect) else { panic!("{sentence}") };
    found
}

fn route(sentence: &str, kind: &str, version: &str, spec: &str, expect: &[&str]) -> Route {
    let text = format!(
        "apiVersion: gateway.networking.k8s.io/{version}\nkind: {kind}\nmetadata: {{name: r, namespace: shop}}\nspec:\n{spec}\n"
    );
    let Object::Route(found) = only(sentence, &text, expect) else { panic!("{sentence}") };
    found
}

/// `namespace/service:port hosts @line`.
fn short(backends: &[Backend]) -> Vec<String> {
    let one = |b: &Backend| {
        let port = match &b.port {
            BackendPort::Number(number) => number.to_string(),
            BackendPort::Name(name) => name.clone(),
            BackendPort::Any => "any".to_owned(),
        };
        format!("{}/{}:{port} {} @{}", b.namespace, b.service, b.hosts.join(","), b.source.line)
    };
    backends.iter().map(one).collect()
}

#[test]
fn an_ingress_names_its_backends_in_order() {
    let found = ingress(
        "v1",
        "networking.k8s.io/v1",
        "  ingressClassName: nginx
  tls: [{hosts: [shop.example.com], secretName: tls}]
  defaultBackend: {service: {name: fallback, port: {name: http}}}
  rules:
  - host: shop.example.com
    http:
      paths:
      - path: /
        pathType: Prefix
        backend: {service: {name: web, port: {number: 80}}}
      - path: /static
        backend: {resource: {kind: Bucket, name: b}}
      - path: /api
        backend: {service: {name: api}}
  - http: {paths: [{backend: {service: {name: any, port: {number: 1}}}}]}
  - host: nothing.example.com",
        &[],
    );
    assert_eq!(found.class, "nginx");
    assert_eq!(
        short(&found.backends),
        [
            "shop/web:80 shop.example.com @14",
            "shop/api:any shop.example.com @18",
            "shop/any:1  @19",
            "shop/fallback:http  @7"
        ]
    );
}

#[test]
fn an_ingress_of_an_old_version_is_read_with_a_warning() {
    let spec = "  backend: {serviceName: fallback, servicePort: http}
  rules: [{host: a.b, http: {paths: [{backend: {serviceName: web, servicePort: 80}}, {backend: {serviceName: text, servicePort: \"81\"}}]}}]";
    for version in ["networking.k8s.io/v1beta1", "extensions/v1beta1"] {
        let warning =
            format!("1:13 warning apiVersion: API servers since 1.22 do not serve Ingress in `{version}`");
        let found = ingress(version, version, spec, &[&warning]);
        assert_eq!(
            short(&found.backends),
            ["shop/web:80 a.b @6", "shop/text:81 a.b @6", "shop/fallback:http  @5"]
        );
    }
    let text = "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: i, annotations: {kubernetes.io/ingress.class: old}}\n";
    let Object::Ingress(found) = only("the class's annotation", text, &[]) else { panic!("an Ingress") };
    assert_eq!(found.class, "old");
}

#[test]
fn mistakes_of_an_ingress_are_reported_and_the_rest_is_read() {
    for (sentence, path, expect) in [
        ("no backend", "^{path: /}", ".backend: `backend` is missing"),
        ("nothing set", "{backend: ^{}}", ".backend: a backend with nothing set"),
        ("no name", "{backend: {service: ^{port: {number: 1}}}}", ".backend.service.name: `name` is missing"),
        ("text", "{backend: ^web}", ".backend: expected a mapping, found the text `web`"),
        ("a path that is text", "^web", ": expected a mapping, found the text `web`"),
    ] {
        let spec = format!(
            "  rules: [{{http: {{paths: [{{backend: {{service: {{name: web, port: {{number: 80}}}}}}}}, {path}]}}}}]"
        );
        let column = spec.find('^').expect("a mark") + 1;
        let spec = spec.replace('^', "");
        let expect = format!("5:{column} error spec.rules[0].http.paths[1]{expect}");
        let found = ingress(sentence, "networking.k8s.io/v1", &spec, &[&expect]);
        assert_eq!(short(&found.backends), ["shop/web:80  @5"], "{sentence}");
    }
    let spec = "  defaultBackend: {service: {name: web, port: {number: 0}}}";
    let found = ingress(
        "a port out of range",
        "networking.k8s.io/v1",
        spec,
        &["5:56 error spec.defaultBackend.service.port.number: 0 is out of range"],
    );
    assert_eq!(short(&found.backends), ["shop/web:any  @5"]);
}

#[test]
fn a_gateway_has_its_listeners() {
    let text = "apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: g, namespace: infra}
spec:
  gatewayClassName: public
  listeners:
  - {name: web, port: 443, protocol: HTTPS, hostname: '*.example.com', tls: {}, allowedRoutes: {}}
  - {name: none}
  - {name: bad, port: 70000}
";
    let Object::Gateway(Gateway { class, listeners, .. }) = only(
        "listeners",
        text,
        &[
            "8:5 error spec.listeners[1].port: `port` is missing",
            "9:23 error spec.listeners[2].port: 70000 is out of range",
        ],
    ) else {
        panic!("a Gateway")
    };
    assert_eq!((class.as_str(), listeners.len()), ("public", 1));
    let one = &listeners[0];
    assert_eq!(
        (one.name.as_str(), one.port, one.protocol.as_str(), one.hostname.as_str()),
        ("web", 443, "HTTPS", "*.example.com")
    );
}

#[test]
fn routes_name_their_gateways_and_services() {
    let found = route(
        "every field",
        "HTTPRoute",
        "v1",
        "  parentRefs:
  - name: g
    namespace: infra
    sectionName: web
  - {group: '', kind: Service, name: mesh}
  - {name: own}
  hostnames: [a.b, c.d]
  rules:
  - matches: [{path: {value: /}}]
    filters: [{type: RequestMirror, requestMirror: {backendRef: {name: shadow, port: 81}}}]
    backendRefs:
    - {name: web, port: 80}
    - {name: other, namespace: far, port: 8080, weight: 1}
    - {name: off, port: 80, weight: 0}
    - {group: example.com, kind: Function, name: f}
    - name: filtered
      filters: [{requestMirror: {backendRef: {name: second}}}]
  - {}",
        &[],
    );
    let parents: Vec<String> =
        found.parents.iter().map(|p| format!("{}/{} {}", p.namespace, p.name, p.section)).collect();
    assert_eq!(parents, ["infra/g web", "shop/own "]);
    assert_eq!(found.kind, RouteKind::Http);
    assert_eq!(
        short(&found.backends),
        [
            "shop/shadow:81 a.b,c.d @14",
            "shop/web:80 a.b,c.d @16",
            "far/other:8080 a.b,c.d @17",
            "shop/filtered:any a.b,c.d @20",
            "shop/second:any a.b,c.d @21"
        ]
    );
    route(
        "no name",
        "HTTPRoute",
        "v1",
        "  parentRefs: [{namespace: a}]\n  rules: [{backendRefs: [{port: 80}]}]",
        &[
            "5:16 error spec.parentRefs[0].name: `name` is missing",
            "6:26 error spec.rules[0].backendRefs[0].name: `name` is missing",
        ],
    );
}

#[test]
fn all_kinds_and_versions_of_routes_are_read() {
    for (kind, expect) in [
        ("HTTPRoute", RouteKind::Http),
        ("GRPCRoute", RouteKind::Grpc),
        ("TLSRoute", RouteKind::Tls),
        ("TCPRoute", RouteKind::Tcp),
        ("UDPRoute", RouteKind::Udp),
    ] {
        for version in ["v1", "v1beta1", "v1alpha2", "v1alpha3"] {
            let found = route(kind, kind, version, "  rules: [{backendRefs: [{name: s, port: 1}]}]", &[]);
            assert_eq!((found.kind, found.kind.as_str()), (expect, kind));
            assert_eq!(short(&found.backends), ["shop/s:1  @5"]);
        }
        let error = format!("1:13 error apiVersion: there is no {kind} in `gateway.networking.k8s.io/v2`");
        route(kind, kind, "v2", "  {}", &[&error]);
    }
}

#[test]
fn kinds_of_the_same_name_in_other_groups_are_somebody_elses() {
    let text = "apiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {name: g}\n";
    let loaded = check("istio", text, &[]);
    assert_eq!((loaded.objects.len(), loaded.ignored.len()), (0, 1));
}

#[track_caller]
fn service(sentence: &str, text: &str, expect: &[&str]) -> Service {
    let Object::Service(found) = only(sentence, text, expect) else { panic!("{sentence}") };
    found
}

#[test]
fn a_service_says_what_leads_to_it_from_outside() {
    let text = "apiVersion: v1
kind: Service
metadata: {name: s}
spec:
  type: LoadBalancer
  ports: [{port: 80}]
  externalIPs: [203.0.113.5, x]
  loadBalancerSourceRanges: [203.0.113.0/24, ' 10.0.0.0/8 ', z]
status:
  loadBalancer:
    ingress: [{ip: 198.51.100.7}, {hostname: lb.example.com}]
";
    let found = service(
        "all fields",
        text,
        &[
            "7:30 error spec.externalIPs[1]: `x` is no address",
            "8:62 error spec.loadBalancerSourceRanges[2]: this is no network",
        ],
    );
    assert_eq!(format!("{:?}", found.external_ips), "[203.0.113.5]");
    assert_eq!(format!("{:?}", found.load_balancer_ips), "[198.51.100.7]");
    assert_eq!(format!("{:?}", found.source_ranges), "[203.0.113.0/24, 10.0.0.0/8]");
    assert!(!found.internal_load_balancer);
    let text = "apiVersion: v1\nkind: Service\nmetadata: {name: s}\nspec: {type: ExternalName, externalName: db.example.com}\n";
    assert_eq!(service("a name", text, &[]).external_name, "db.example.com");
}

#[test]
fn annotations_of_clouds_say_that_a_load_balancer_is_internal() {
    for (annotation, internal) in [
        ("service.beta.kubernetes.io/aws-load-balancer-internal: 'true'", true),
        ("service.beta.kubernetes.io/aws-load-balancer-internal: 0.0.0.0/0", true),
        ("service.beta.kubernetes.io/aws-load-balancer-internal: 'false'", false),
        ("service.beta.kubernetes.io/aws-load-balancer-scheme: internal", true),
        ("service.beta.kubernetes.io/aws-load-balancer-scheme: internet-facing", false),
        ("service.beta.kubernetes.io/azure-load-balancer-internal: 'true'", true),
        ("networking.gke.io/load-balancer-type: Internal", true),
        ("networking.gke.io/load-balancer-type: External", false),
        ("service.beta.kubernetes.io/do-loadbalancer-network: INTERNAL", true),
        ("service.kubernetes.io/ibm-load-balancer-cloud-provider-ip-type: private", true),
        ("service.kubernetes.io/qcloud-loadbalancer-internal-subnetid: subnet-1", true),
        ("service.kubernetes.io/qcloud-loadbalancer-internal-subnetid: ''", false),
        ("example.com/load-balancer-type: internal", false),
    ] {
        let text = format!(
            "apiVersion: v1\nkind: Service\nmetadata: {{name: s, annotations: {{{annotation}}}}}\nspec: {{type: LoadBalancer, ports: [{{port: 80}}]}}\n"
        );
        assert_eq!(service(annotation, &text, &[]).internal_load_balancer, internal, "{annotation}");
    }
}
