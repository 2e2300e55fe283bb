//! The real client of the world outside, on servers that misbehave.

use recovery_core::port::WebClient;
use recovery_server::web::Web;
use recovery_testkit::{
    TakenRequest, WebManners, WebSite,
    contract::{self, WebFixture},
};

#[derive(Default)]
struct Outside {
    web: Web,
    sites: std::sync::Mutex<Vec<WebSite>>,
}

impl WebFixture for Outside {
    fn client(&self) -> &dyn WebClient {
        &self.web
    }

    fn site(&self, manners: WebManners) -> String {
        let site = WebSite::start_shared(manners);
        let address = site.address().to_owned();
        self.sites.lock().unwrap().push(site);
        address
    }

    fn taken(&self, address: &str) -> Vec<TakenRequest> {
        let sites = self.sites.lock().unwrap();
        sites.iter().find(|site| site.address() == address).map(WebSite::taken).unwrap_or_default()
    }

    fn nowhere(&self) -> String {
        // Nobody listens at a port that was given back.
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        format!("http://{}", listener.local_addr().unwrap())
    }
}

#[tokio::test]
async fn it_keeps_what_the_port_promises() {
    contract::web_client(&Outside::default()).await;
}
