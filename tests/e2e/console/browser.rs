//! Chromium without a window, driven over WebDriver: what a person does with the page, and what it shows.

use std::{
    io::{BufRead as _, BufReader},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use thirtyfour::{
    CapabilitiesHelper as _, ChromiumLikeCapabilities as _, DesiredCapabilities, Key, PageLoadStrategy,
    TypingData, WebDriver, WebElement, error::WebDriverResult,
};

use crate::service::{SECRET, Service, until};

/// A browser with the console of a service in it.
pub(super) struct Page {
    pub(super) driver: WebDriver,
    url: String,
    _process: Driver,
}

/// The program that drives the browser. It ends the browser when it is asked to end.
struct Driver(Child);

impl Drop for Driver {
    fn drop(&mut self) {
        let _ = rustix::process::kill_process(
            rustix::process::Pid::from_child(&self.0),
            rustix::process::Signal::TERM,
        );
        let _ = self.0.wait();
    }
}

impl Driver {
    fn start() -> (Self, u16) {
        let mut child = Command::new("chromedriver")
            .args(["--port=0"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("chromedriver is needed; `cargo xtask test` installs chromium-driver");
        let output = BufReader::new(child.stdout.take().unwrap());
        let port = output.lines().map_while(Result::ok).find_map(|line| {
            line.split("started successfully on port ").nth(1)?.trim_end_matches('.').trim().parse().ok()
        });
        (Self(child), port.expect("chromedriver says on which port it listens"))
    }
}

/// How the page is looked at.
#[derive(Clone, Copy, Debug)]
pub(super) struct Look {
    pub(super) width: u32,
    pub(super) dark: bool,
}

impl Look {
    pub(super) const WIDE: Self = Self { width: 1280, dark: false };
}

impl Page {
    /// Opens the console.
    pub(super) async fn open(service: &Service) -> Self {
        Self::open_with(service, Look::WIDE, None).await
    }

    /// Opens the console; `before` is run in it before its own modules are.
    pub(super) async fn open_with(service: &Service, look: Look, before: Option<&str>) -> Self {
        let page = Self::empty(service, PageLoadStrategy::Normal).await;
        page.look(look).await;
        if let Some(source) = before {
            page.tell_browser("Page.addScriptToEvaluateOnNewDocument", json!({"source": source})).await;
        }
        page.load().await;
        page
    }

    /// A browser that has not opened the console yet.
    pub(super) async fn empty(service: &Service, strategy: PageLoadStrategy) -> Self {
        let (process, port) = Driver::start();
        let mut capabilities = DesiredCapabilities::chrome();
        for argument in ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"] {
            capabilities.add_arg(argument).unwrap();
        }
        capabilities.set_page_load_strategy(strategy).unwrap();
        let driver = WebDriver::new(format!("http://127.0.0.1:{port}"), capabilities).await.unwrap();
        Self { driver, url: format!("{}/", service.url), _process: process }
    }

    /// Opens the console.
    pub(super) async fn load(&self) {
        self.driver.goto(&self.url).await.unwrap();
    }

    /// Opens the console and signs in.
    pub(super) async fn signed_in(service: &Service) -> Self {
        let page = Self::open(service).await;
        page.sign_in().await;
        page
    }

    pub(super) async fn look(&self, look: Look) {
        let size = json!({"width": look.width, "height": 900, "deviceScaleFactor": 1, "mobile": false});
        self.tell_browser("Emulation.setDeviceMetricsOverride", size).await;
        let scheme = if look.dark { "dark" } else { "light" };
        let features = json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
        self.tell_browser("Emulation.setEmulatedMedia", features).await;
    }

    /// A command of Chromium's own protocol.
    pub(super) async fn tell_browser(&self, command: &str, parameters: Value) -> Value {
        self.driver.cdp().send_raw(command, parameters).await.unwrap()
    }

    pub(super) async fn sign_in(&self) {
        self.until_there("#secret").await;
        self.write("#secret", SECRET).await;
        self.press("#sign-in", "Sign in").await;
        self.until_text("#session", "Sign out").await;
        self.until_text("#connection", "Live").await;
    }

    /// What a script returns.
    pub(super) async fn run(&self, script: &str) -> Value {
        self.driver.execute(script, Vec::new()).await.unwrap().json().clone()
    }

    /// The text that somebody sees in a part of the page; empty where there is no such part.
    pub(super) async fn text(&self, part: &str) -> String {
        let script =
            "return [...document.querySelectorAll(arguments[0])].map((e) => e.innerText).join('\\n')";
        let found = self.driver.execute(script, vec![json!(part)]).await.unwrap();
        found.json().as_str().unwrap_or_default().to_owned()
    }

    pub(super) async fn until_text(&self, part: &str, text: &str) {
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            let seen = self.text(part).await;
            if seen.contains(text) {
                return;
            }
            assert!(Instant::now() < deadline, "waited for {text:?} in {part}; there is: {seen}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    pub(super) async fn is_there(&self, part: &str) -> bool {
        let script = "return [...document.querySelectorAll(arguments[0])].some((e) => e.checkVisibility())";
        self.driver.execute(script, vec![json!(part)]).await.unwrap().json() == &json!(true)
    }

    pub(super) async fn until_there(&self, part: &str) {
        until(part, async || self.is_there(part).await).await;
    }

    pub(super) async fn until_gone(&self, part: &str) {
        until(&format!("{part} to go"), async || !self.is_there(part).await).await;
    }

    /// Presses the button or link of this label in a part of the page, as soon as there is one that can be pressed.
    /// The label is what is read out, or what stands on it.
    pub(super) async fn press(&self, part: &str, label: &str) {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let pressed = self.try_press(part, label).await;
            match pressed {
                Ok(true) => return,
                other => assert!(
                    Instant::now() < deadline,
                    "no {label} to press in {part} ({other:?}): {}",
                    self.text(part).await
                ),
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn try_press(&self, part: &str, label: &str) -> WebDriverResult<bool> {
        let script =
            "const found = [...document.querySelectorAll(`${arguments[0]} button, ${arguments[0]} a`)]
                .find((e) => e.checkVisibility() && e.getAttribute('aria-disabled') !== 'true'
                    && (e.getAttribute('aria-label') === arguments[1] || e.textContent === arguments[1]));
            found?.scrollIntoView({ block: 'center', behavior: 'instant' });
            return found ?? null";
        let found = self.driver.execute(script, vec![json!(part), json!(label)]).await?;
        if found.json().is_null() {
            return Ok(false);
        }
        found.element()?.click().await?;
        Ok(true)
    }

    pub(super) async fn element(&self, part: &str) -> WebElement {
        self.until_there(part).await;
        self.driver.find(thirtyfour::By::Css(part)).await.unwrap()
    }

    /// Writes into a field, in place of what is there.
    pub(super) async fn write(&self, field: &str, text: &str) {
        let element = self.element(field).await;
        element.send_keys(Key::Control + "a").await.unwrap();
        element.send_keys(Key::Delete + "").await.unwrap();
        element.send_keys(text).await.unwrap();
    }

    /// Presses keys, wherever the focus is.
    pub(super) async fn keys(&self, keys: impl Into<TypingData>) {
        self.driver.action_chain().send_keys(keys.into()).perform().await.unwrap();
    }

    /// Selects all that is in the field with the focus.
    pub(super) async fn select_all(&self) {
        let chain = self.driver.action_chain().key_down(Key::Control).send_keys("a").key_up(Key::Control);
        chain.perform().await.unwrap();
    }

    /// What has the focus: what is read out of it, or the name of a field.
    pub(super) async fn focused(&self) -> String {
        let script = "const e = document.activeElement;
            return e.getAttribute('aria-label') ?? (e.matches('select') ? e.id : e.textContent.trim() || e.id)";
        self.run(script).await.as_str().unwrap_or_default().to_owned()
    }

    /// Goes on with the Tab key until this has the focus.
    pub(super) async fn tab_to(&self, label: &str) {
        for _ in 0..200 {
            self.keys(Key::Tab + "").await;
            if self.focused().await == label {
                return;
            }
        }
        panic!("the Tab key does not lead to {label}");
    }
}
