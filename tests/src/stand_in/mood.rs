//! What a stand-in is to do wrong, said in two files of a directory that is mounted: `NAME.now` holds until the stand-in
//! is started again, `NAME.always` over every start. Each has words, for example `engine-hang` or `load=20`.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::sync::watch;

/// How often the files are read.
const EVERY: Duration = Duration::from_millis(50);

/// What is wrong with it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Mood {
    /// `hang`: it takes connections and answers none of them; what it was saying stops.
    pub hang: bool,
    /// `engine-hang`: it says that it is well, and makes no tokens.
    pub engine_hang: bool,
    /// `closed`: it runs, and does not listen.
    pub closed: bool,
    /// `crash`: it ends, as soon as it hears of it.
    pub crash: bool,
    /// `status=500`: it answers everything so.
    pub status: Option<u16>,
    /// `load=20`: so many seconds pass before it has loaded its model.
    pub load: Option<Duration>,
}

impl Mood {
    /// Reads words; those that it does not know mean nothing.
    #[must_use]
    pub fn of(text: &str) -> Self {
        let mut mood = Self::default();
        for word in text.split_whitespace() {
            match word.split_once('=') {
                Some(("status", status)) => mood.status = status.parse().ok(),
                Some(("load", seconds)) => mood.load = seconds.parse().ok().map(Duration::from_secs_f64),
                _ => match word {
                    "hang" => mood.hang = true,
                    "engine-hang" => mood.engine_hang = true,
                    "closed" => mood.closed = true,
                    "crash" => mood.crash = true,
                    _ => eprintln!("a mood that nobody knows: {word}"),
                },
            }
        }
        mood
    }

    /// Whether no tokens are made.
    #[must_use]
    pub fn no_tokens(&self) -> bool {
        self.hang || self.engine_hang
    }
}

/// Follows the mood of `name` for as long as the process lives. A start is over what holds for now.
#[must_use]
pub fn follow(directory: Option<PathBuf>, name: &str) -> watch::Receiver<Mood> {
    let Some(directory) = directory else { return watch::channel(Mood::default()).1 };
    // Most often it is not there.
    let _ = fs::remove_file(directory.join(format!("{name}.now")));
    let (tell, mood) = watch::channel(read(&directory, name));
    let name = name.to_owned();
    tokio::spawn(async move {
        while !tell.is_closed() {
            tokio::time::sleep(EVERY).await;
            let read = read(&directory, &name);
            tell.send_if_modified(|known| {
                let news = *known != read;
                *known = read;
                news
            });
        }
    });
    mood
}

fn read(directory: &Path, name: &str) -> Mood {
    let words = ["now", "always"]
        .map(|which| fs::read_to_string(directory.join(format!("{name}.{which}"))).unwrap_or_default());
    Mood::of(&words.join(" "))
}
