//! The console in a browser: what somebody does with it, and the pictures.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use serde_json::json;

use super::LOOKS;
use crate::browser::Browser;

/// The console.
pub(super) struct Page {
    browser: Browser,
    pictures: PathBuf,
}

impl Page {
    /// Opens it.
    pub(super) fn open(port: u16, pictures: &Path) -> Result<Self> {
        let browser = Browser::start()?;
        let [(_, look), ..] = LOOKS;
        browser.look(look)?;
        browser.open(&format!("http://localhost:{port}/"))?;
        Ok(Self { browser, pictures: pictures.to_owned() })
    }

    pub(super) fn sign_in(&self, secret: &str) -> Result<()> {
        let script = "document.getElementById('secret').value = arguments[0];
            document.querySelector('#sign-in form').requestSubmit()";
        self.browser.run(script, json!([secret]))?;
        self.until("#session", "Sign out")?;
        self.press("#banner", "Dismiss: this message")
    }

    /// Waits until a part of the page shows this.
    pub(super) fn until(&self, part: &str, text: &str) -> Result<()> {
        let script = "return [...document.querySelectorAll(arguments[0])].some((e) => e.innerText.includes(arguments[1]))";
        self.browser.until(&format!("{text:?} in {part}"), script, &json!([part, text]))
    }

    /// Presses the button of this label in a part of the page, as soon as there is one that can be pressed.
    pub(super) fn press(&self, part: &str, label: &str) -> Result<()> {
        let script = "const found = [...document.querySelectorAll(`${arguments[0]} button`)]
                .find((e) => e.getAttribute('aria-disabled') !== 'true'
                    && (e.getAttribute('aria-label') === arguments[1] || e.textContent === arguments[1]));
            found?.click();
            return Boolean(found)";
        self.browser.until(&format!("{label} in {part}"), script, &json!([part, label]))
    }

    /// Takes pictures of the window as it is, from its top, or of one part of the page.
    pub(super) fn picture(&self, state: &str, part: Option<&str>) -> Result<()> {
        for (name, look) in LOOKS {
            self.browser.look(look)?;
            // Two frames later it is drawn like that.
            let drawn = "scrollTo(0, 0);
                return new Promise((go) => requestAnimationFrame(() => requestAnimationFrame(() => go(true))))";
            self.browser.run(drawn, json!([]))?;
            let picture = decode(&self.browser.picture(part)?).context("a picture that is no base 64")?;
            fs::write(self.pictures.join(format!("{state}-{name}.png")), picture)?;
        }
        let [(_, look), ..] = LOOKS;
        self.browser.look(look)
    }
}

/// Base 64, as RFC 4648 has it.
fn decode(text: &str) -> Option<Vec<u8>> {
    let digits = text.trim_end_matches('=').bytes().map(|byte| match byte {
        b'A'..=b'Z' => Some(byte - b'A'),
        b'a'..=b'z' => Some(byte - b'a' + 26),
        b'0'..=b'9' => Some(byte - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    });
    let digits: Vec<u8> = digits.collect::<Option<_>>()?;
    let groups = digits.chunks(4).map(|group| {
        let bits =
            group.iter().fold(0_u32, |bits, digit| bits << 6 | u32::from(*digit)) << (6 * (4 - group.len()));
        (bits.to_be_bytes(), group.len() - 1)
    });
    Some(groups.flat_map(|(bytes, count)| bytes.into_iter().skip(1).take(count)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base_64_is_read() {
        for (text, bytes) in
            [("", &b""[..]), ("Zg==", b"f"), ("Zm8=", b"fo"), ("Zm9v", b"foo"), ("+/8=", &[0xfb, 0xff])]
        {
            assert_eq!(decode(text).as_deref(), Some(bytes), "{text}");
        }
        assert_eq!(decode("Zm 9"), None);
    }
}
