//! What `WebClient` promises.

use std::{sync::Arc, time::Duration};

use recovery_core::port::{WebAnswer, WebClient, WebError, WebRequest};

use super::SOON;
use crate::{TakenRequest, WebManner, WebManners};

/// A world outside that a client reaches.
pub trait WebFixture {
    /// The client.
    fn client(&self) -> &dyn WebClient;
    /// Puts a server there that does this, and gives its address, without a path.
    fn site(&self, manners: WebManners) -> String;
    /// The requests that the server at this address got.
    fn taken(&self, address: &str) -> Vec<TakenRequest>;
    /// An address where nobody is.
    fn nowhere(&self) -> String;
}

const TOKEN: &str = "t0ken-of-the-contract";

fn request(url: &str) -> WebRequest {
    WebRequest {
        url: url.to_owned(),
        accept: "application/json",
        token: Some(TOKEN.into()),
        limit: 1000,
        timeout: Duration::from_secs(15),
    }
}

/// What holds for every client. Takes a few seconds, since some servers say nothing.
pub async fn web_client(fixture: &dyn WebFixture) {
    let get = async |request: WebRequest| {
        let asked = tokio::time::timeout(SOON, fixture.client().get(request)).await;
        asked.expect("no call is longer under way than it may be")
    };
    let site = |manner: WebManner| fixture.site(Arc::new(move |_| manner.clone()));

    let body = b"\x00\xff\r\n{}".to_vec();
    for status in [200, 201, 400, 401, 404, 429, 500, 503] {
        let address = site(WebManner::answers(status, body.clone()));
        let answer = get(request(&format!("{address}/a/b?c=d%20e&f[]=g"))).await;
        assert_eq!(answer, Ok(WebAnswer { status, body: body.clone() }), "no status is an error");
        let taken = fixture.taken(&address);
        let expect = TakenRequest {
            path: "/a/b?c=d%20e&f[]=g".to_owned(),
            accept: "application/json".to_owned(),
            token: Some(TOKEN.to_owned()),
        };
        assert_eq!(taken, [expect], "it is asked once, for what was asked for");
    }
    let address = site(WebManner::answers(200, ""));
    get(WebRequest { token: None, ..request(&address) }).await.unwrap();
    assert_eq!(fixture.taken(&address)[0].token, None);

    for (length, fits) in [(999, true), (1000, true), (1001, false), (100_000, false)] {
        let answer = get(request(&site(WebManner::answers(200, vec![b'x'; length])))).await;
        match answer {
            Ok(answer) => assert!(fits && answer.body.len() == length, "{length}"),
            Err(error) => assert!(!fits && error == WebError::TooLarge { limit: 1000 }, "{length}: {error}"),
        }
    }
    let flood = get(request(&site(WebManner::Floods))).await;
    assert_eq!(flood, Err(WebError::TooLarge { limit: 1000 }), "only so much of a flood is read");

    for manner in [WebManner::Hangs, WebManner::Trickles] {
        let address = site(manner.clone());
        let answer = get(WebRequest { timeout: Duration::from_secs(1), ..request(&address) }).await;
        assert_eq!(answer, Err(WebError::TimedOut), "{manner:?}");
    }

    let whole = vec![b'x'; 800];
    for manner in [Some(WebManner::Cuts(whole)), Some(WebManner::Mumbles), None] {
        let address = manner.clone().map_or_else(|| fixture.nowhere(), site);
        let answer = get(request(&address)).await;
        let Err(WebError::Unreachable { why }) = answer else { panic!("{manner:?}: {answer:?}") };
        let (_, host) = address.split_once("://").unwrap();
        assert!(!why.is_empty() && !why.contains(host) && !why.contains(TOKEN), "{why}");
    }
    led_on(fixture, &get).await;
}

async fn led_on(fixture: &dyn WebFixture, get: &impl AsyncFn(WebRequest) -> Result<WebAnswer, WebError>) {
    let site = |manners: fn(&TakenRequest) -> WebManner| fixture.site(Arc::new(manners));
    // Within one server the token goes along.
    let renamed = site(|request| match request.path.as_str() {
        "/old" => WebManner::LeadsTo("/new?a=b".to_owned()),
        _ => WebManner::answers(200, "found"),
    });
    let answer = get(request(&format!("{renamed}/old"))).await.unwrap();
    assert_eq!(answer.body, b"found");
    let taken = fixture.taken(&renamed);
    assert_eq!(taken.len(), 2);
    assert_eq!((taken[1].path.as_str(), taken[1].token.as_deref()), ("/new?a=b", Some(TOKEN)));

    // To another one it never goes, not even to one at another port of the same machine, and it does not come back.
    let other = site(|_| WebManner::answers(200, "elsewhere"));
    let to = format!("{other}/there");
    let leads = fixture.site(Arc::new(move |_| WebManner::LeadsTo(to.clone())));
    let answer = get(request(&format!("{leads}/here"))).await.unwrap();
    assert_eq!(answer.body, b"elsewhere");
    let taken = fixture.taken(&other);
    assert_eq!(
        (taken.len(), taken[0].path.as_str(), taken[0].token.as_deref(), taken[0].accept.as_str()),
        (1, "/there", None, "application/json"),
        "a token is for one server alone"
    );

    let circle = site(|_| WebManner::LeadsTo("/again".to_owned()));
    let answer = get(request(&circle)).await;
    assert!(matches!(answer, Err(WebError::Unreachable { .. })), "{answer:?}");
    assert!(fixture.taken(&circle).len() <= 10, "it is not followed for ever");
}
