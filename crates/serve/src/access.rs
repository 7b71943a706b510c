//! Who may ask.
//!
//! On loopback everybody of this machine may. A page of the web could ask as well, by a name of its own that leads to
//! 127.0.0.1: only requests that call this server by a loopback name are answered, unless TLS proves the name. On other
//! addresses visitors have to say who they are, by a token or by a certificate.

use std::net::SocketAddr;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
pub use podgate_tls::{Clients, Identity};

use crate::fault::Fault;

/// Who may ask.
#[derive(Clone, Debug, Default)]
pub struct Access {
    /// Whoever knows it may; needed on addresses that others reach.
    pub token: Option<String>,
    /// Names that requests may call the server by, besides those of loopback.
    pub names: Vec<String>,
    /// With what connections are encrypted; `None`: they aren't.
    pub tls: Option<Tls>,
}

/// How connections are encrypted.
#[derive(Clone, Debug)]
pub struct Tls {
    /// The server's certificate, and which ones visitors show.
    pub identity: Identity,
    /// Hears of certificates that can't be used any more, and of connections that can't be accepted.
    pub tell: fn(&str),
}

const COOKIE: &str = "podgate_token";

impl Access {
    /// Whether a server may listen on an address.
    ///
    /// # Errors
    /// When others reach it and no token is asked for.
    pub fn allows(&self, address: SocketAddr) -> Result<(), String> {
        let token = self.token.as_ref().map(|token| token.trim());
        if token.is_some_and(|token| token.len() < 16) {
            return Err(
                "the token is shorter than 16 characters: make one with `openssl rand -hex 32`".to_owned()
            );
        }
        if address.ip().to_canonical().is_loopback() || token.is_some() {
            return Ok(());
        }
        match &self.tls {
            None => Err(format!(
                "others reach {address}, and the page shows who may talk to whom: listen on 127.0.0.1, or give a token \
                 with --token-file, and a certificate with --tls-cert and --tls-key so that nobody reads along"
            )),
            Some(tls) => match tls.identity.clients {
                Clients::MustShow(_) => Ok(()),
                Clients::Anybody | Clients::MayShow(_) => Err(format!(
                    "others reach {address}, and TLS keeps them from reading along, not from visiting: give a token with \
                     --token-file, or the authority of visitors' certificates with --tls-client-ca"
                )),
            },
        }
    }
}

/// Lets a request through, or refuses it.
pub async fn admit(State(access): State<Access>, request: Request, next: Next) -> Response {
    if let Err(fault) = check(&access, request.headers(), request.method().is_safe()) {
        // Whoever visits `/?token=...` gets a cookie, and the token is gone from the address.
        return match (&access.token, given(request.uri())) {
            (Some(token), Some(given)) if is_same(token, &given) => welcome(token, access.tls.is_some()),
            _ => fault.into_response(),
        };
    }
    match given(request.uri()) {
        Some(_) if request.uri().path() == "/" => {
            (StatusCode::SEE_OTHER, [(header::LOCATION, "/")]).into_response()
        }
        _ => next.run(request).await,
    }
}

fn check(access: &Access, headers: &HeaderMap, is_safe: bool) -> Result<(), Fault> {
    let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    match &access.token {
        Some(token) => {
            let bearer = text(header::AUTHORIZATION).and_then(|value| value.strip_prefix("Bearer "));
            let cookies = text(header::COOKIE).into_iter().flat_map(|value| value.split(';'));
            let cookie =
                cookies.filter_map(|one| one.trim().split_once('=')).find(|(name, _)| *name == COOKIE);
            if ![bearer, cookie.map(|(_, value)| value)]
                .into_iter()
                .flatten()
                .any(|given| is_same(token, given))
            {
                let error = "say who you are: visit /?token=TOKEN, or send `Authorization: Bearer TOKEN`";
                return Err(Fault::new(StatusCode::UNAUTHORIZED, error));
            }
        }
        // Whose certificate is good for the name that was called is the one that was meant.
        None if access.tls.is_some() => {}
        None => {
            let host = text(header::HOST).unwrap_or_default();
            let name = name_of(host);
            let is_loopback = name.parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback());
            if !is_loopback && name != "localhost" && !access.names.iter().any(|known| known == name) {
                let error = format!("{host:?} is no name of this server: call it localhost or 127.0.0.1");
                return Err(Fault::new(StatusCode::MISDIRECTED_REQUEST, error));
            }
        }
    }
    // Browsers say so when another site's page asks.
    let site = text(header::HeaderName::from_static("sec-fetch-site")).unwrap_or("none");
    if !is_safe && !matches!(site, "none" | "same-origin") {
        return Err(Fault::new(StatusCode::FORBIDDEN, "another site's page asks: open podgate's own"));
    }
    Ok(())
}

/// The host without its port, and without the brackets of IPv6.
fn name_of(host: &str) -> &str {
    match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.rsplit_once(':').map_or(host, |(name, _)| name),
    }
}

/// The token in an address.
fn given(uri: &Uri) -> Option<String> {
    let pairs = form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes());
    pairs.into_iter().find(|(name, _)| name == "token").map(|(_, value)| value.into_owned())
}

fn welcome(token: &str, is_secure: bool) -> Response {
    let secure = if is_secure { "; Secure" } else { "" };
    let cookie = format!("{COOKIE}={}; Path=/; HttpOnly; SameSite=Strict{secure}", token.trim());
    match HeaderValue::from_str(&cookie) {
        Ok(cookie) => {
            let headers = [(header::SET_COOKIE, cookie), (header::LOCATION, HeaderValue::from_static("/"))];
            (StatusCode::SEE_OTHER, headers).into_response()
        }
        Err(_) => Fault::bad("the token has characters that no cookie may have: send it as a bearer token")
            .into_response(),
    }
}

/// Compares without telling by its time how much is right.
fn is_same(token: &str, given: &str) -> bool {
    let (token, given) = (token.trim().as_bytes(), given.as_bytes());
    let mut different = u8::from(token.len() != given.len());
    for (at, byte) in given.iter().enumerate() {
        different |= byte ^ token[at % token.len()];
    }
    std::hint::black_box(different) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(of: &[(&'static str, &str)]) -> HeaderMap {
        of.iter()
            .map(|(name, value)| (header::HeaderName::from_static(name), value.parse().unwrap()))
            .collect()
    }

    #[test]
    fn only_loopback_names_are_answered_without_a_token() {
        let access = Access { names: vec!["podgate.test".to_owned()], ..Access::default() };
        for (host, is_fine) in [
            ("localhost:7462", true),
            ("127.0.0.1:7462", true),
            ("127.0.0.1", true),
            ("[::1]:7462", true),
            ("podgate.test:7462", true),
            ("evil.example:7462", false),
            ("localhost.evil.example", false),
            ("10.0.0.1:7462", false),
            ("", false),
        ] {
            assert_eq!(check(&access, &headers(&[("host", host)]), true).is_ok(), is_fine, "{host}");
        }
        let cross = [("host", "localhost"), ("sec-fetch-site", "cross-site")];
        assert!(check(&access, &headers(&cross), false).is_err(), "another site's page posts");
        assert!(check(&access, &headers(&cross), true).is_ok(), "a link on another site leads here");
    }

    #[test]
    fn a_token_is_asked_for_and_compared_whole() {
        let token = "0123456789abcdef0123";
        let access = Access { token: Some(format!("{token}\n")), ..Access::default() };
        for (header, is_fine) in [
            (("authorization", format!("Bearer {token}")), true),
            (("cookie", format!("a=b; podgate_token={token}")), true),
            (("authorization", "Bearer 0123456789abcdef".to_owned()), false),
            (("authorization", format!("Bearer {token}{token}")), false),
            (("authorization", "Bearer ".to_owned()), false),
            (("cookie", format!("other={token}")), false),
        ] {
            let (name, value) = header;
            assert_eq!(check(&access, &headers(&[(name, &value)]), true).is_ok(), is_fine, "{name}: {value}");
        }
    }

    #[test]
    fn others_need_a_token() {
        let far: SocketAddr = "0.0.0.0:80".parse().unwrap();
        assert!(Access::default().allows(far).unwrap_err().contains("token"));
        assert!(Access::default().allows("[::1]:80".parse().unwrap()).is_ok());
        let with = |token: &str| Access { token: Some(token.to_owned()), ..Access::default() };
        assert!(with("0123456789abcdef").allows(far).is_ok());
        assert!(with("short\n").allows(far).unwrap_err().contains("16"));
        let secured = |clients: Clients, token: Option<&str>| {
            let identity = Identity { certificate: "tls.crt".into(), key: "tls.key".into(), clients };
            let token = token.map(str::to_owned);
            Access { token, tls: Some(Tls { identity, tell: |_| () }), ..Access::default() }.allows(far)
        };
        let refused = secured(Clients::Anybody, None).unwrap_err();
        assert!(refused.contains("--token-file") && refused.contains("--tls-client-ca"), "{refused}");
        assert!(secured(Clients::MayShow("ca.crt".into()), None).is_err());
        assert!(secured(Clients::MustShow("ca.crt".into()), None).is_ok());
        assert!(secured(Clients::Anybody, Some("0123456789abcdef")).is_ok());
    }
}
