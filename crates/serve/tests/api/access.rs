use podgate_serve::Access;

use crate::support::Served;

#[test]
fn the_page_is_served_with_a_strict_policy() {
    let served = Served::new();
    let page = served.ask("GET", "/", &[], "");
    assert_eq!((page.status, page.header("content-type")), (200, Some("text/html; charset=utf-8")));
    let policy = page.header("content-security-policy").expect("a policy");
    assert!(
        policy.starts_with("default-src 'self';") && policy.contains("frame-ancestors 'none'"),
        "{policy}"
    );
    for (name, value) in [
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
        ("cache-control", "no-cache"),
    ] {
        assert_eq!(page.header(name), Some(value), "{name}");
    }
    // What it loads is there, and never changes under its name.
    let script = page.text.split("src=\"").nth(1).and_then(|rest| rest.split('"').next()).expect("a script");
    let script = script.trim_start_matches('.');
    let loaded = served.ask("GET", script, &[], "");
    assert_eq!((loaded.status, loaded.header("content-type")), (200, Some("text/javascript; charset=utf-8")));
    assert!(loaded.header("cache-control").unwrap().contains("immutable"));
    let etag = loaded.header("etag").unwrap();
    assert_eq!(served.ask("GET", script, &[("If-None-Match", etag)], "").status, 304);
    assert_eq!(served.ask("HEAD", "/", &[], "").status, 200);
    for path in ["/other", "/assets/none.js", "/../Cargo.toml", "/%2e%2e/Cargo.toml"] {
        assert_eq!(served.ask("GET", path, &[], "").status, 404, "{path}");
    }
    assert_eq!(served.ask("DELETE", "/api/v1/policies", &[], "").status, 405);
    assert_eq!(served.ask("PUT", "/", &[], "").status, 405);
}

#[test]
fn a_name_that_leads_here_from_the_web_is_refused() {
    let served = Served::new();
    let status = |host: &str| served.ask("GET", "/api/v1/status", &[("Host", host)], "").status;
    assert_eq!([status("localhost"), status("[::1]:80")], [200, 200]);
    assert_eq!([status("evil.example"), status("127.0.0.1.evil.example:80")], [421, 421]);
    let headers = [("Content-Type", "application/json"), ("Sec-Fetch-Site", "cross-site")];
    assert_eq!(served.ask("POST", "/api/v1/what-if", &headers, "{}").status, 403);
}

#[test]
fn a_token_opens_everything_and_nothing_opens_without() {
    let token = "a-token-of-some-length";
    let served = Served::with(Access { token: Some(token.to_owned()), ..Access::default() }, true);
    let status = |headers: &[(&str, &str)]| served.ask("GET", "/api/v1/status", headers, "").status;
    assert_eq!(status(&[]), 401);
    assert_eq!(status(&[("Authorization", "Bearer a-token-of-some-lengtH")]), 401);
    assert_eq!(status(&[("Authorization", "Bearer a-token-of-some-length")]), 200);
    assert_eq!(served.ask("GET", "/", &[], "").status, 401);
    assert_eq!(served.ask("GET", "/?token=wrong", &[], "").status, 401);
    let welcome = served.ask("GET", &format!("/?token={token}"), &[], "");
    assert_eq!((welcome.status, welcome.header("location")), (303, Some("/")));
    let cookie = welcome.header("set-cookie").expect("a cookie");
    assert!(cookie.contains("httponly") && cookie.contains("samesite=strict"), "{cookie}");
    let cookie = cookie.split(';').next().unwrap();
    assert_eq!(status(&[("Cookie", cookie)]), 200);
    assert_eq!(served.ask("GET", "/", &[("Cookie", cookie), ("Host", "anything.example")], "").status, 200);
}

#[test]
fn addresses_that_others_reach_need_a_token() {
    let (source, _sender) =
        podgate_serve::Source::new("x", podgate_serve::model::Origin::Files, Default::default());
    let listener = std::net::TcpListener::bind("0.0.0.0:0").unwrap();
    let refused = podgate_serve::start(listener, source, Access::default()).unwrap_err();
    assert!(refused.to_string().contains("give a token"), "{refused}");
}
