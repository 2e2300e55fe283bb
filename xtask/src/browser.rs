//! Chromium without a window, over WebDriver: enough of it to look at a page.

use std::{
    io::{BufRead as _, BufReader},
    process::{Child, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use crate::{http, packages, shell, signal};

/// How long something may take to be there.
const PATIENCE: Duration = Duration::from_secs(60);

/// A browser with one page. Ended when dropped.
pub(crate) struct Browser {
    driver: Child,
    port: u16,
    session: String,
}

/// How a page is looked at.
#[derive(Clone, Copy)]
pub(crate) struct Look {
    /// Of the window, in CSS pixels.
    pub(crate) width: u32,
    /// As `width`.
    pub(crate) height: u32,
    /// Whether the reader likes it dark.
    pub(crate) dark: bool,
}

impl Browser {
    /// Starts one; installs what is missing.
    pub(crate) fn start() -> Result<Self> {
        packages::ensure_browser()?;
        let mut driver = shell::command("chromedriver")
            .arg("--port=0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .context("cannot start chromedriver")?;
        let output = BufReader::new(driver.stdout.take().context("chromedriver has an output")?);
        let port = output.lines().map_while(Result::ok).find_map(|line| {
            line.split("started successfully on port ").nth(1)?.trim_end_matches('.').trim().parse().ok()
        });
        let mut browser = Self {
            driver,
            port: port.context("chromedriver did not say where it listens")?,
            session: String::new(),
        };
        let arguments = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"];
        let wanted = json!({"capabilities": {"alwaysMatch": {
            "browserName": "chrome", "goog:chromeOptions": {"args": arguments},
        }}});
        let answer = browser.ask("", &wanted)?;
        browser.session = format!("/{}", text(&answer, "sessionId")?);
        Ok(browser)
    }

    /// Opens an address.
    pub(crate) fn open(&self, url: &str) -> Result<()> {
        self.ask("/url", &json!({"url": url})).map(drop)
    }

    /// Looks at the page like this.
    pub(crate) fn look(&self, look: Look) -> Result<()> {
        let size =
            json!({"width": look.width, "height": look.height, "deviceScaleFactor": 1, "mobile": false});
        self.protocol("Emulation.setDeviceMetricsOverride", &size)?;
        self.protocol("Emulation.setScrollbarsHidden", &json!({"hidden": true}))?;
        let scheme = if look.dark { "dark" } else { "light" };
        let features = json!({"features": [
            {"name": "prefers-color-scheme", "value": scheme},
            {"name": "prefers-reduced-motion", "value": "reduce"},
        ]});
        self.protocol("Emulation.setEmulatedMedia", &features).map(drop)
    }

    /// What a script returns; its arguments are in `arguments`.
    pub(crate) fn run(&self, script: &str, arguments: Value) -> Result<Value> {
        self.ask("/execute/sync", &json!({"script": script, "args": arguments}))
    }

    /// Waits until a script returns something true.
    pub(crate) fn until(&self, what: &str, script: &str, arguments: &Value) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while self.run(script, arguments.clone())? != json!(true) {
            if Instant::now() > deadline {
                bail!("waited for {what} in vain");
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    /// A picture of the window, or of one part of the page from edge to edge: PNG, in base 64.
    pub(crate) fn picture(&self, part: Option<&str>) -> Result<String> {
        let parameters = match part {
            None => json!({"format": "png"}),
            Some(part) => {
                let place = "const { y, height } = document.querySelector(arguments[0]).getBoundingClientRect();
                    return { x: 0, y: y + scrollY, width: document.documentElement.clientWidth, height, scale: 1 }";
                let clip = self.run(place, json!([part]))?;
                json!({"format": "png", "captureBeyondViewport": true, "clip": clip})
            }
        };
        let answer = self.protocol("Page.captureScreenshot", &parameters)?;
        Ok(text(&answer, "data")?.to_owned())
    }

    /// A command of Chromium's own protocol.
    pub(crate) fn protocol(&self, command: &str, parameters: &Value) -> Result<Value> {
        self.ask("/goog/cdp/execute", &json!({"cmd": command, "params": parameters}))
    }

    fn ask(&self, path: &str, body: &Value) -> Result<Value> {
        let path = format!("/session{}{path}", self.session);
        let headers = [("Content-Type", "application/json")];
        let answer = http::send(self.port, "POST", &path, &headers, &body.to_string())?;
        let value: Value = serde_json::from_str(&answer.body).context("chromedriver sent no JSON")?;
        let value = value.get("value").context("chromedriver sent no value")?;
        if answer.status != 200 {
            bail!("{path}: {}", text(value, "message").unwrap_or(&answer.body));
        }
        Ok(value.clone())
    }
}

/// A member that is text.
fn text<'a>(value: &'a Value, name: &str) -> Result<&'a str> {
    value.get(name).and_then(Value::as_str).with_context(|| format!("no {name}"))
}

impl Drop for Browser {
    fn drop(&mut self) {
        // chromedriver ends its browsers when it is asked to end.
        if let Err(error) = signal::stop_child(&mut self.driver, Duration::from_secs(10)) {
            eprintln!("chromedriver was not stopped: {error:#}");
        }
    }
}
