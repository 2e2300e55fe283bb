//! What Compose says on the way, a line for each thing: ` Container nova-redis-1  Started`, and for each layer of an
//! image ` 8a1e25ce7c4f Downloading [==>   ]  1.2MB/29MB`.

use std::collections::BTreeMap;

use recovery_core::{Progress, Unit};

/// What is kept of what Compose did, in bytes.
const LONGEST_OUTPUT: usize = 8 * 1024;

/// How far Compose is, as its lines tell.
#[derive(Debug, Default)]
pub(super) struct Watched {
    /// The layers by their ids: bytes done, and bytes in all where they are known.
    layers: BTreeMap<String, (u64, Option<u64>)>,
    /// Containers that it has begun to work on.
    working: bool,
}

impl Watched {
    /// The most layers that are followed: an image has some dozens.
    const MOST_LAYERS: usize = 1000;

    /// Takes a line; whether it says anything new.
    pub(super) fn hear(&mut self, line: &str) -> bool {
        let Some((subject, rest)) = line.trim().split_once(' ') else { return false };
        if subject == "Container" {
            return !std::mem::replace(&mut self.working, true);
        }
        let is_layer = subject.len() == 12 && subject.bytes().all(|byte| byte.is_ascii_hexdigit());
        let known = self.layers.len() < Self::MOST_LAYERS || self.layers.contains_key(subject);
        if !is_layer || !known {
            return false;
        }
        let layer = self.layers.entry(subject.to_owned()).or_default();
        let before = *layer;
        let rest = rest.trim();
        if rest.starts_with("Downloading") {
            let sizes = rest.rsplit(' ').find_map(|word| word.split_once('/'));
            if let Some((done, total)) = sizes {
                *layer = (bytes(done).unwrap_or(layer.0), bytes(total).or(layer.1));
            }
        } else if ["Verifying", "Download complete", "Extracting", "Pull complete", "Already exists"]
            .iter()
            .any(|done| rest.starts_with(done))
        {
            // A small layer is there before its size was ever said.
            let total = layer.1.unwrap_or(layer.0);
            *layer = (total, Some(total));
        }
        *layer != before
    }

    /// How far it is.
    pub(super) fn progress(&self) -> Progress {
        if self.working || self.layers.is_empty() {
            return Progress::phase(if self.working { "starting" } else { "pulling" });
        }
        let done = self.layers.values().map(|(done, _)| done).sum();
        let total: Option<u64> = self.layers.values().map(|(_, total)| *total).sum();
        Progress { phase: "pulling".to_owned(), done, total, unit: Unit::Bytes, tables: None }
    }
}

/// `1.234MB` in bytes, as Docker writes sizes: powers of 1000.
fn bytes(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(digits)?;
    let factor = match unit {
        "B" | "" => 1,
        "kB" | "KB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "TB" => 1_000_000_000_000_u64,
        _ => return None,
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let whole: u64 = whole.parse().ok()?;
    let mut bytes = whole.checked_mul(factor)?;
    let mut part = factor;
    for digit in fraction.chars() {
        part /= 10;
        bytes = bytes.checked_add(u64::from(digit.to_digit(10)?) * part)?;
    }
    Some(bytes)
}

/// What Compose has done, a line for each thing, without layers, warnings and the words of other programs.
pub(super) fn done(stderr: &str) -> String {
    let things = ["Container ", "Network ", "Volume "];
    let mut output = String::new();
    for line in
        stderr.lines().map(str::trim).filter(|line| things.iter().any(|thing| line.starts_with(thing)))
    {
        let words: Vec<&str> = line.split_whitespace().collect();
        let line = words.join(" ");
        if output.len() + line.len() >= LONGEST_OUTPUT {
            break;
        }
        if !output.is_empty() {
            output.push('\n');
        }
        output.push_str(&line);
    }
    output
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(lines: &[&str]) -> (String, u64, Option<u64>) {
        let mut watched = Watched::default();
        for line in lines {
            watched.hear(line);
        }
        let Progress { phase, done, total, .. } = watched.progress();
        (phase, done, total)
    }

    fn check(lines: &[&str], phase: &str, done: u64, total: Option<u64>) {
        assert_eq!(heard(lines), (phase.to_owned(), done, total), "{lines:?}");
    }

    #[test]
    fn layers_add_up() {
        check(&[" ollama Pulling "], "pulling", 0, None);
        check(&[" 8a1e25ce7c4f Pulling fs layer "], "pulling", 0, None);
        let first = " 8a1e25ce7c4f Downloading [==>       ]  1.5MB/29MB ";
        check(&[first], "pulling", 1_500_000, Some(29_000_000));
        check(&[first, " aaaaaaaaaaaa Waiting "], "pulling", 1_500_000, None);
        check(
            &[first, " aaaaaaaaaaaa Downloading [>  ]  1.024kB/2.048GB "],
            "pulling",
            1_501_024,
            Some(2_077_000_000),
        );
        check(&[first, " 8a1e25ce7c4f Download complete "], "pulling", 29_000_000, Some(29_000_000));
        check(
            &[first, " 8a1e25ce7c4f Extracting [=>  ]  300kB/29MB ", " 8a1e25ce7c4f Pull complete "],
            "pulling",
            29_000_000,
            Some(29_000_000),
        );
        check(&[" 8a1e25ce7c4f Already exists "], "pulling", 0, Some(0));
        check(&[first, " Container nova-ollama-1  Creating"], "starting", 0, None);
    }

    #[test]
    fn what_says_nothing_is_left_out() {
        let mut watched = Watched::default();
        for line in
            ["", "x", "ollama Pulling", "Network nova_default  Created", "zzzzzzzzzzzz Downloading 1MB/2MB"]
        {
            assert!(!watched.hear(line), "{line:?}");
        }
        assert!(watched.hear("8a1e25ce7c4f Downloading 1MB/2MB"));
        assert!(!watched.hear("8a1e25ce7c4f Downloading 1MB/2MB"), "nothing new");
        assert!(!watched.hear("8a1e25ce7c4f Downloading what/ever"));
        for number in 0..5000 {
            watched.hear(&format!("{number:012x} Downloading 1MB/2MB"));
        }
        assert_eq!(watched.layers.len(), Watched::MOST_LAYERS);
    }

    #[test]
    fn sizes_are_read_as_docker_writes_them() {
        for (text, expect) in [
            ("0B", Some(0)),
            ("512B", Some(512)),
            ("1.5kB", Some(1_500)),
            ("29.13MB", Some(29_130_000)),
            ("7.25GB", Some(7_250_000_000)),
            ("1.2", Some(1)),
            ("99999999999999999999GB", None),
            ("99999999999GB", None),
            ("MB", None),
            ("1.2.3MB", None),
            ("1XB", None),
            ("-1MB", None),
        ] {
            assert_eq!(bytes(text), expect, "{text}");
        }
    }

    #[test]
    fn what_was_done_is_told_without_the_rest() {
        let said = " ollama Pulling \ntime=\"x\" level=warning msg=\"The \\\"hunter2\\\" variable is not set.\"\n Network nova_default  Created\n Container nova-ollama-1  Starting\n Container nova-ollama-1  Started\n";
        assert_eq!(
            done(said),
            "Network nova_default Created\nContainer nova-ollama-1 Starting\nContainer nova-ollama-1 Started"
        );
        assert_eq!(done(""), "");
        assert!(done(&" Container x  Started\n".repeat(5000)).len() <= LONGEST_OUTPUT);
    }
}
