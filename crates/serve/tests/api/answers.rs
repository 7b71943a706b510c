use std::collections::BTreeSet;

use podgate_flow::FlowVerdict::{Allowed, Denied};
use serde_json::{Value, json};

use crate::support::{Served, flow, now, pod};

fn ids(values: &Value) -> Vec<&str> {
    values.as_array().unwrap().iter().map(|value| value["id"].as_str().unwrap()).collect()
}

#[test]
fn the_status_says_what_is_served() {
    let served = Served::new();
    let status = served.get("/status");
    assert_eq!(status["name"], "the shop");
    assert_eq!(
        status["counts"],
        json!({"namespaces": 2, "workloads": 3, "pods": 4, "services": 1, "policies": 3, "staged": 1})
    );
    assert_eq!(status["flows"]["kept"], 11);
    assert_eq!((&status["measured"]["tried"], &status["measured"]["disagree"]), (&json!(3), &json!(1)));
    let unwatched = Served::with(Default::default(), false).get("/status");
    assert!(unwatched.get("flows").is_none() && unwatched.get("measured").is_none(), "{unwatched}");
}

#[test]
fn places_are_named_the_same_everywhere() {
    let served = Served::new();
    let places = served.get("/places");
    let known = ids(&places["places"]);
    for id in ["shop", "ops", "shop/web[StatefulSet]", "shop/db[StatefulSet]", "internet"] {
        assert!(known.contains(&id), "{known:?}");
    }
    // Each end of a place is one that /why accepts.
    for place in places["places"].as_array().unwrap() {
        let id: String = form_urlencoded(place["id"].as_str().unwrap());
        let why = served.get(&format!("/why?from={id}&to=shop%2Fdb&port=5432"));
        assert!(why["answer"].is_string(), "{why}");
    }
}

#[test]
fn the_posture_counts_what_is_protected_open_and_denied() {
    let served = Served::new();
    let posture = served.get("/posture?since=1h");
    let shop =
        &posture["namespaces"].as_array().unwrap().iter().find(|one| one["namespace"] == "shop").unwrap();
    assert_eq!((&shop["workloads"], &shop["ingress"], &shop["egress"]), (&json!(2), &json!(2), &json!(0)));
    assert_eq!(
        (&shop["denied"], &shop["fromInternet"], &shop["toInternet"]),
        (&json!(6), &json!(1), &json!(2))
    );
    assert_eq!(posture["denials"]["count"], 6);
    let first = &posture["denials"]["top"][0];
    assert_eq!((&first["from"]["id"], &first["count"]), (&json!("ops/stranger[StatefulSet]"), &json!(5)));
    assert_eq!(first["by"], "isolated by shop/db");
    let exposed = posture["exposed"].as_array().unwrap();
    let through: Vec<&str> = exposed.iter().filter_map(|one| one["through"].as_str()).collect();
    assert!(through.contains(&"Service shop/web (LoadBalancer)"), "{through:?}");
    assert_eq!(posture["staged"], json!({"policies": 1, "wouldDeny": 1}));
    assert_eq!(posture["unusedRules"], 1, "the guard's denied nothing");
    // The probe could not reach what policy allows.
    assert_eq!(posture["disagreementCount"], 1);
    let disagreement = &posture["disagreements"][0];
    assert_eq!((&disagreement["expected"], &disagreement["measured"]), (&json!("allowed"), &json!("denied")));
    let short = served.get("/posture?since=8m");
    assert_eq!(short["denials"]["count"], 0, "all denials are older");
}

#[test]
fn what_everybody_calls_still_shows_what_it_calls() {
    let served = Served::new();
    let clients = (0..12).map(|number| {
        let client = pod("ops", &format!("client-{number}"), &format!("10.244.1.{number}"), 50_000);
        flow(8, 100 + number, Allowed, client, pod("shop", "web", "10.244.0.11", 8080))
    });
    served.history.push(now(), clients.map(std::sync::Arc::new));
    let map = served.get("/map?since=1h");
    let nodes = map["nodes"].as_array().unwrap();
    let web = nodes.iter().position(|node| node["id"] == "shop/web[StatefulSet]").unwrap();
    let db = nodes.iter().position(|node| node["id"] == "shop/db[StatefulSet]").unwrap();
    assert_eq!(nodes[web]["hub"], "hub");
    let edges = map["edges"].as_array().unwrap();
    let to_web: Vec<_> = edges.iter().filter(|edge| edge["to"] == web).collect();
    assert!(to_web.len() >= 12 && to_web.iter().all(|edge| edge["folded"] == true), "{to_web:?}");
    let to_db = edges.iter().find(|edge| edge["from"] == web && edge["to"] == db).unwrap();
    assert_eq!(to_db["folded"], false);
    assert!(nodes[web]["x"].as_f64() < nodes[db]["x"].as_f64(), "it stands where it calls");
}

#[test]
fn who_knocks_on_every_door_crowds_and_what_was_cut_does_not() {
    let served = Served::new();
    let db = || pod("shop", "db", "10.244.0.12", 5432);
    let knocks = (0..6).map(|number| {
        let knocker = pod("ops", &format!("knocker-{number}"), &format!("10.244.1.{number}"), 50_000);
        flow(8, 100 + number, Denied, knocker, db())
    });
    let client = || pod("ops", "client", "10.244.1.100", 50_000);
    let worked = (0..3).map(|number| flow(25, 200 + number, Allowed, client(), db()));
    let cut = (0..2).map(|number| flow(7, 210 + number, Denied, client(), db()));
    served.history.push(now(), knocks.chain(worked).chain(cut).map(std::sync::Arc::new));
    let map = served.get("/map?since=1h");
    let nodes = map["nodes"].as_array().unwrap();
    let node = |id: &str| nodes.iter().position(|node| node["id"] == id).unwrap();
    let edges = map["edges"].as_array().unwrap();
    let edge = |from: &str| {
        let ends = (json!(node(from)), json!(node("shop/db[StatefulSet]")));
        let at = edges.iter().position(|edge| (&edge["from"], &edge["to"]) == (&ends.0, &ends.1)).unwrap();
        (at, &edges[at])
    };
    let (at, lost) = edge("ops/client[StatefulSet]");
    assert_eq!((at, &lost["cut"], &lost["crowded"]), (0, &json!(true), &Value::Null));
    let (at, knock) = edge("ops/knocker-3[StatefulSet]");
    assert_eq!((&knock["cut"], &knock["crowded"]), (&Value::Null, &json!(true)));
    assert!(edges[at..].iter().all(|edge| edge["crowded"] == true), "they come last");
    // The stranger's is one of many now.
    let (_, stranger) = edge("ops/stranger[StatefulSet]");
    assert_eq!(stranger["crowded"], true);
    let crowded = |id: &str| nodes[node(id)]["crowded"].as_u64().unwrap();
    assert_eq!((crowded("shop/db[StatefulSet]"), crowded("ops/knocker-3[StatefulSet]")), (7, 1));
    // Who looks at one place wants to see all of it.
    let focused = served.get("/map?since=1h&focus=shop/db%5BStatefulSet%5D");
    assert!(focused["edges"].as_array().unwrap().iter().all(|edge| edge.get("crowded").is_none()));
    let denials = &served.get("/posture?since=1h")["denials"]["top"];
    assert_eq!(
        (&denials[0]["from"]["id"], &denials[0]["before"]),
        (&json!("ops/client[StatefulSet]"), &json!(3))
    );
    assert_eq!((&denials[1]["count"], &denials[1]["before"]), (&json!(5), &json!(0)));
}

#[test]
fn the_map_has_edges_that_rules_name_and_that_were_seen() {
    let served = Served::new();
    let map = served.get("/map?since=1h");
    let nodes = map["nodes"].as_array().unwrap();
    let id = |at: &Value| nodes[at.as_u64().unwrap() as usize]["id"].as_str().unwrap();
    let edges: Vec<(&str, &str, &str)> = map["edges"]
        .as_array()
        .unwrap()
        .iter()
        .map(|edge| (id(&edge["from"]), id(&edge["to"]), edge["allowed"].as_str().unwrap()))
        .collect();
    let (web, db, stranger) = ("shop/web[StatefulSet]", "shop/db[StatefulSet]", "ops/stranger[StatefulSet]");
    assert_eq!(edges[0], (stranger, db, ""), "denials come first");
    assert!(edges.contains(&(web, db, "TCP 5432")), "{edges:?}");
    assert!(edges.contains(&(web, "internet", "all")), "{edges:?}");
    assert!(edges.iter().any(|(from, ..)| *from == "shop/gone[StatefulSet]"), "{edges:?}");
    assert!(!edges.iter().any(|edge| edge.0 == web && edge.1 == stranger), "nobody names it: {edges:?}");
    let seen = &map["edges"]
        .as_array()
        .unwrap()
        .iter()
        .find(|edge| id(&edge["from"]) == web && id(&edge["to"]) == db)
        .unwrap()["seen"];
    assert_eq!((&seen["allowed"], &seen["denied"]), (&json!(7), &json!(0)));
    let cut = served.get("/map?edges=1");
    assert_eq!(
        (cut["edges"].as_array().unwrap().len(), cut["moreEdges"].as_u64()),
        (1, Some(edges.len() as u64 - 1))
    );
    let focused = served.get("/map?focus=shop/db%5BStatefulSet%5D");
    assert_eq!(ids(&focused["nodes"]), [stranger, db, web]);
    let namespaces = served.get("/map?scope=namespaces");
    assert_eq!(ids(&namespaces["nodes"]), ["ops", "shop", "internet"]);
    assert_eq!(namespaces["groups"], json!([]));
    let pods = served.get("/map?scope=pods&namespace=shop");
    let shown: BTreeSet<&str> = ids(&pods["nodes"]).into_iter().collect();
    assert!(shown.is_superset(&["shop/web-0[Pod]", "shop/web-1[Pod]", stranger].into()), "{shown:?}");
    assert!(served.fault("/map?scope=pods").1.contains("namespace"));
    assert_eq!(served.fault("/map?focus=nobody").0, 404);
}

#[test]
fn the_map_of_files_alone_has_no_flows() {
    let served = Served::with(Default::default(), false);
    let map = served.get("/map");
    assert!(map["edges"].as_array().unwrap().iter().all(|edge| edge.get("seen").is_none()), "{map}");
    assert!(served.fault("/flows").1.contains("--server"));
}

#[test]
fn the_matrix_has_a_verdict_for_every_pair() {
    let served = Served::new();
    let matrix = served.get("/matrix?since=1h");
    let parties = ids(&matrix["parties"]);
    let cell = |from: &str, to: &str| {
        let at = |id: &str| parties.iter().position(|known| *known == id).unwrap();
        let row = matrix["rows"][at(from)].as_u64().unwrap() as usize;
        let column = matrix["columns"][at(to)].as_u64().unwrap() as usize;
        let mut runs = matrix["runs"][row].as_array().unwrap().chunks(2);
        let mut end = 0;
        let run = runs.find(|run| {
            end += run[1].as_u64().unwrap() as usize;
            column < end
        });
        let verdict = run.unwrap()[0].as_u64().unwrap() as usize;
        matrix["verdicts"][verdict]["ports"].as_str().unwrap().to_owned()
    };
    let (web, db, stranger) = ("shop/web[StatefulSet]", "shop/db[StatefulSet]", "ops/stranger[StatefulSet]");
    assert_eq!(cell(web, db), "TCP 5432");
    assert_eq!(cell(stranger, db), "none");
    assert_eq!(cell(stranger, web), "all but TCP 23");
    assert_eq!(cell("internet", web), "all");
    assert_eq!(cell(web, stranger), "all");
    let columns =
        matrix["columns"].as_array().unwrap().iter().map(|at| at.as_u64().unwrap()).max().unwrap() + 1;
    for row in matrix["runs"].as_array().unwrap() {
        let lengths = row.as_array().unwrap().chunks(2).map(|run| run[1].as_u64().unwrap());
        assert_eq!(lengths.sum::<u64>(), columns, "{row}");
    }
    let (observed, measured) =
        (matrix["observed"].as_array().unwrap(), matrix["measured"].as_array().unwrap());
    assert!(observed.iter().any(|one| one["port"] == 22 && one["denied"] == 1), "{observed:?}");
    // The pods of a workload together.
    let tried = |one: &Value| [&one["port"], &one["allowed"], &one["denied"]].map(|it| it.as_u64().unwrap());
    assert_eq!(measured.iter().map(tried).collect::<Vec<_>>(), [[80, 0, 1], [5432, 1, 1]]);
    let ops = served.get("/matrix?namespace=ops");
    assert_eq!(ids(&ops["parties"]), [stranger, "internet"]);
}

#[test]
fn an_edge_is_looked_into() {
    let served = Served::new();
    let edge = served.get("/edge?from=ops%2Fstranger%5BStatefulSet%5D&to=shop%2Fdb%5BStatefulSet%5D");
    assert_eq!((&edge["seen"]["denied"], &edge["why"]["answer"]), (&json!(6), &json!("no")));
    assert_eq!(edge["records"].as_array().unwrap().len(), 2);
    let gone = served.get("/edge?from=shop%2Fgone%5BStatefulSet%5D&to=shop%2Fweb%5BStatefulSet%5D");
    assert!(gone.get("why").is_none() && gone["untold"].as_str().unwrap().contains("gone"), "{gone}");
    assert_eq!(served.fault("/edge?from=shop%2Fnone&to=shop%2Fnobody").0, 404);
}

#[test]
fn why_is_the_answer_of_can() {
    let served = Served::new();
    for (from, port, answer) in
        [("shop/web", "5432", "yes"), ("shop/web", "80", "no"), ("ops/stranger", "5432", "no")]
    {
        let why = served.get(&format!("/why?from={from}&to=shop/db&port={port}"));
        assert_eq!(why["answer"], answer, "{from} {port}");
    }
    let (status, error) = served.fault("/why?from=shop/nobody&to=shop/db");
    assert!(status == 400 && error.contains("nobody"), "{error}");
    assert!(served.fault("/why?from=shop/web").1.contains("to"));
    assert!(served.fault("/why?from=shop/web&to=shop/db&port=x/y").1.contains("port=x/y"));
}

#[test]
fn flows_are_paged_filtered_and_counted() {
    let served = Served::new();
    let all = served.get("/flows");
    assert_eq!((&all["matching"], &all["total"]), (&json!(11), &json!(11)));
    let times: Vec<&str> =
        all["records"].as_array().unwrap().iter().map(|record| record["time"].as_str().unwrap()).collect();
    assert!(times.is_sorted_by(|a, b| a >= b), "newest first");
    let denied = served.get("/flows?verdict=denied&to-port=5432&since=1h");
    assert_eq!((&denied["matching"], &denied["total"]), (&json!(1), &json!(11)));
    for (query, number) in [
        ("namespace=ops", 2),
        ("not-namespace=ops", 9),
        ("from-workload=shop/web%5BStatefulSet%5D", 8),
        ("workload=web&not-staged=true", 8),
        ("policy=NetworkPolicy/shop/db", 9),
        ("rule=ingress%5B0%5D", 7),
        ("staged=true", 1),
        ("to-ip=203.0.113.0/24", 1),
        ("label=app%3Dgone", 1),
        ("pod=shop/web-0&to-port=5432&to-port=443", 8),
        // What asks either end twice asks the same end.
        ("pod=shop/web-0&port=5432", 0),
    ] {
        assert_eq!(served.get(&format!("/flows?{query}"))["matching"], number, "{query}");
    }
    let facet = |field: &str| {
        let facets = all["facets"].as_array().unwrap();
        facets.iter().find(|facet| facet["field"] == field).unwrap()["values"].clone()
    };
    assert_eq!(facet("verdict"), json!([{"value": "allowed", "count": 9}, {"value": "denied", "count": 2}]));
    assert_eq!(facet("policy")[0], json!({"value": "NetworkPolicy/shop/db", "count": 9}));
    assert_eq!(facet("workload")[0], json!({"value": "shop/db[StatefulSet]", "count": 9}));
    // Page by page all come, each once.
    let mut seen = BTreeSet::new();
    let mut query = "/flows?limit=4".to_owned();
    loop {
        let page = served.get(&query);
        for id in ids(&page["records"]) {
            assert!(seen.insert(id.to_owned()), "{id} twice");
        }
        match page.get("next") {
            Some(next) => query = format!("/flows?limit=4&before={}", next.as_str().unwrap()),
            None => break,
        }
    }
    assert_eq!(seen.len(), 11);
}

#[test]
fn pages_go_on_where_several_flows_have_one_time() {
    let served = Served::with(Default::default(), true);
    let time = crate::support::now();
    let same = (0..10).map(|number| {
        let mut record = crate::support::flows().remove(0);
        record.time = time;
        record.id = podgate_flow::FlowId(number + 1);
        std::sync::Arc::new(record)
    });
    served.history.push(time, same);
    let mut seen = BTreeSet::new();
    let mut query = "/flows?limit=3&since=3m".to_owned();
    loop {
        let page = served.get(&query);
        seen.extend(ids(&page["records"]).into_iter().map(str::to_owned));
        match page.get("next") {
            Some(next) => query = format!("/flows?limit=3&since=3m&before={}", next.as_str().unwrap()),
            None => break,
        }
    }
    assert_eq!(seen.len(), 10);
}

#[test]
fn a_flow_has_a_story() {
    let served = Served::new();
    let denied = served.get("/flows?verdict=denied&to-port=5432");
    let id = denied["records"][0]["id"].as_str().unwrap();
    let story = served.get(&format!("/flows/{id}/story"));
    assert_eq!(
        (&story["told"]["verdict"], &story["told"]["basis"]),
        (&json!("denied"), &json!("of-the-input"))
    );
    assert_eq!(served.fault("/flows/00000000-0000-0001-0000-000000000000/story").0, 404);
    assert_eq!(served.fault("/flows/7/story").0, 400);
}

#[test]
fn time_is_cut_into_stretches_that_add_up() {
    let served = Served::new();
    let timeline = served.get("/timeline?since=1h&buckets=60");
    let sum = |field: &str| -> u64 {
        timeline["buckets"].as_array().unwrap().iter().map(|bucket| bucket[field].as_u64().unwrap()).sum()
    };
    assert_eq!((sum("allowed"), sum("denied"), sum("staged")), (9, 6, 1));
    assert_eq!(timeline["seconds"], 60);
    assert!((60..=62).contains(&timeline["buckets"].as_array().unwrap().len()));
    let filtered = served.get("/timeline?since=1h&verdict=denied");
    assert!(filtered["buckets"].as_array().unwrap().iter().all(|bucket| bucket["allowed"] == 0));
}

#[test]
fn policies_have_subjects_rules_hits_and_their_text() {
    let served = Served::new();
    let list = served.get("/policies");
    assert_eq!(
        ids(&list["policies"]),
        ["ClusterNetworkPolicy//guard", "NetworkPolicy/shop/db", "NetworkPolicy/shop/web"],
        "in the order in which they are asked"
    );
    assert_eq!(list["policies"][1]["hits"], 13, "seven by its rule, six by its isolation");
    assert_eq!(list["policies"][2]["staged"], true);
    let db = served.get("/policies/NetworkPolicy%2Fshop%2Fdb");
    assert_eq!(db["selected"][0]["id"], "shop/db[StatefulSet]");
    assert_eq!((&db["ruleList"][0]["hits"], &db["isolated"]), (&json!(7), &json!(6)));
    let (yaml, first) = (db["yaml"].as_str().unwrap(), db["firstLine"].as_u64().unwrap() as usize);
    let lines: Vec<&str> = crate::support::CLUSTER.lines().collect();
    assert_eq!(yaml.lines().next(), Some(lines[first - 1]));
    assert!(yaml.starts_with("# Only web") && yaml.ends_with("- port: 5432\n"), "{yaml}");
    let guard = served.get("/policies/ClusterNetworkPolicy%2F%2Fguard");
    assert_eq!((&guard["priority"], &guard["ruleList"][0]["effect"]), (&json!(10), &json!("deny")));
    assert_eq!(guard["selected"].as_array().unwrap().len(), 2);
    assert_eq!(served.fault("/policies/NetworkPolicy%2Fshop%2Fnone").0, 404);
}

#[test]
fn findings_are_those_of_check() {
    let served = Served::new();
    let found = served.get("/findings");
    let checks: Vec<&str> =
        found["findings"].as_array().unwrap().iter().map(|one| one["check"].as_str().unwrap()).collect();
    assert!(checks.contains(&"unprotected-pod") || checks.contains(&"internet-exposed"), "{checks:?}");
}

#[test]
fn what_is_not_understood_is_said_to() {
    let served = Served::new();
    for (path, status, says) in [
        ("/status?x=1", 400, "no parameter x"),
        ("/map?scop=pods", 400, "did you mean scope?"),
        ("/map?scope=clusters", 400, "namespaces, workloads, pods"),
        ("/map?edges=many", 400, "a number from 0"),
        ("/flows?limit=0", 400, "from 1 to 1000"),
        ("/flows?since=yesterday", 400, "10m"),
        ("/flows?since=1m&until=2m", 400, "turn them round"),
        ("/flows?since=1m&since=2m", 400, "twice"),
        ("/flows?verdict=maybe", 400, "DENIED (or DROPPED)"),
        ("/flows?before=x", 400, "next"),
        ("/nothing", 404, "/api/v1/openapi.json"),
    ] {
        let (code, error) = served.fault(path);
        assert!(code == status && error.contains(says), "{path}: {code} {error}");
    }
    let wrong = served.ask("POST", "/api/v1/map", &[], "");
    assert!(wrong.status == 405 && wrong.text.contains("GET"), "{}", wrong.text);
}

#[test]
fn the_description_is_the_published_one() {
    assert_eq!(Served::new().get("/openapi.json"), podgate_serve::openapi());
}

fn form_urlencoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}
