//! The files of the recovery console: one page that comes out of the program itself, so that an operator has it when
//! everything else is down.
//!
//! They lie in `console/` as browsers read them; nothing is built. All of them but the page are served below a
//! directory that is named after the hash of them all: a file of that name never changes, so browsers may keep it, and
//! modules of two versions never meet, since they name one another relatively.

use std::{io::Write as _, sync::OnceLock};

use actix_web::web::Bytes;
use flate2::{Compression, write::GzEncoder};
use sha2::{Digest as _, Sha256};

/// Below this path the files are served.
pub(crate) const PATH: &str = "/console";
/// Stands in the page where the directory of the files belongs.
const PLACEHOLDER: &str = "{{files}}";

macro_rules! files {
    ($($name:literal),* $(,)?) => {
        &[$(($name, include_bytes!(concat!("../console/", $name)).as_slice())),*]
    };
}

const PAGE: &str = include_str!("../console/index.html");

/// Every file but the page.
const FILES: &[(&str, &[u8])] = files![
    "api.js",
    "audit.js",
    "backups.js",
    "base.css",
    "charts.js",
    "diagnostics.js",
    "dialog.js",
    "dom.js",
    "environment.js",
    "events.js",
    "format.js",
    "icon.svg",
    "inference.js",
    "main.js",
    "notices.js",
    "operations.js",
    "overview.js",
    "parts.css",
    "reset.js",
    "restore.js",
    "schedule.js",
    "services.js",
    "session.js",
    "start.js",
    "store.js",
    "verdict.js",
    "words.js",
];

/// What is sent of a file.
pub(crate) struct Asset {
    pub(crate) content_type: &'static str,
    /// The file as it is.
    pub(crate) plain: Bytes,
    /// The same, compressed with gzip.
    pub(crate) gzip: Bytes,
    /// Names this content: a strong entity tag, with its quotes.
    pub(crate) etag: String,
}

/// The page and its files, ready to be sent.
pub(crate) struct Console {
    pub(crate) page: Asset,
    files: Vec<(&'static str, Asset)>,
    version: String,
}

impl Console {
    /// The one console of this program; compressed when it is first asked for, which takes some milliseconds.
    pub(crate) fn get() -> &'static Self {
        static CONSOLE: OnceLock<Console> = OnceLock::new();
        CONSOLE.get_or_init(Self::pack)
    }

    fn pack() -> Self {
        let mut all = Sha256::new();
        for (name, content) in FILES {
            all.update(name.as_bytes());
            all.update([0]);
            all.update(Sha256::digest(content));
        }
        let version = short(&all.finalize());
        let page = PAGE.replace(PLACEHOLDER, &format!("{PATH}/{version}"));
        Self {
            page: Asset::pack("index.html", Bytes::from(page)),
            files: FILES
                .iter()
                .map(|(name, content)| (*name, Asset::pack(name, Bytes::from_static(content))))
                .collect(),
            version,
        }
    }

    /// The file of this name in the directory of this version.
    pub(crate) fn file(&self, version: &str, name: &str) -> Option<&Asset> {
        let found = self.files.iter().find(|(own, _)| *own == name)?;
        (version == self.version).then_some(&found.1)
    }
}

impl Asset {
    fn pack(name: &str, plain: Bytes) -> Self {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        // Writing into memory does not fail; if it did, the file would go out as it is.
        let gzip = encoder.write_all(&plain).and_then(|()| encoder.finish());
        Self {
            content_type: content_type(name),
            gzip: gzip.unwrap_or_default().into(),
            etag: format!("\"{}\"", short(&Sha256::digest(&plain))),
            plain,
        }
    }
}

fn content_type(name: &str) -> &'static str {
    match name.rsplit('.').next() {
        Some("html") => "text/html; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("svg") => "image/svg+xml",
        _ => "application/octet-stream",
    }
}

/// The first half of a hash, in hexadecimal digits.
fn short(hash: &[u8]) -> String {
    hash.iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{collections::BTreeSet, fs, io::Read as _, path::Path};

    fn directory() -> std::path::PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("console")
    }

    #[test]
    fn every_file_is_served_and_no_other() {
        let there: BTreeSet<String> = fs::read_dir(directory())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        let mut served: BTreeSet<String> = FILES.iter().map(|(name, _)| (*name).to_owned()).collect();
        served.insert("index.html".to_owned());
        assert_eq!(served, there);
    }

    #[test]
    fn all_of_them_together_are_small() {
        let bytes: usize = PAGE.len() + FILES.iter().map(|(_, content)| content.len()).sum::<usize>();
        assert!(bytes <= 150 * 1024, "{bytes} bytes");
    }

    #[test]
    fn what_is_compressed_is_the_same() {
        let console = Console::get();
        for (name, content) in FILES {
            let asset = console.file(&console.version, name).unwrap();
            let mut unpacked = Vec::new();
            flate2::read::GzDecoder::new(asset.gzip.as_ref()).read_to_end(&mut unpacked).unwrap();
            assert_eq!(unpacked, *content, "{name}");
            assert!(asset.content_type != "application/octet-stream", "{name} has no type");
        }
        assert!(console.file("another", "main.js").is_none());
    }

    /// Text becomes part of the page as text. What reads a string as markup or code has no place in the console, and
    /// neither has what would fetch something from elsewhere.
    #[test]
    fn no_module_reads_text_as_markup_or_code() {
        for (name, content) in FILES.iter().chain([&("index.html", PAGE.as_bytes())]) {
            let text = std::str::from_utf8(content).unwrap();
            for word in [
                "innerHTML",
                "outerHTML",
                "insertAdjacentHTML",
                "document.write",
                "eval(",
                "Function(",
                "DOMParser",
                "setHTML",
                "createContextualFragment",
                "javascript:",
                "srcdoc",
                "https://",
                "//cdn",
            ] {
                assert!(!text.contains(word), "{name} has {word}");
            }
            let svg_namespace = "http://www.w3.org/2000/svg";
            assert!(!text.replace(svg_namespace, "").contains("http://"), "{name} names an address");
        }
    }
}
