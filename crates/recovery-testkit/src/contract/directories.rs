//! What `DataDirectories` promises.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::Mutex,
};

use recovery_core::port::{DataDirectories, DirectoryError, DirectorySize, Emptied};

/// What the suite needs besides the port itself.
pub trait DirectoryFixture: Sync {
    /// The port.
    fn directories(&self) -> &dyn DataDirectories;

    /// An absolute path at which there is nothing, in a directory that is there.
    fn place(&self) -> PathBuf;

    /// Makes a directory and those that it is in.
    fn make_directory(&self, path: &Path);

    /// Makes a file in a directory.
    fn make_file(&self, path: &Path, content: &str);

    /// Makes a symbolic link.
    fn make_link(&self, path: &Path, target: &Path);

    /// The paths of everything at a path and below, links not followed.
    fn listing(&self, path: &Path) -> BTreeSet<PathBuf>;
}

/// What holds for directories of ours.
pub async fn data_directories(fixture: &dyn DirectoryFixture) {
    let (port, place) = (fixture.directories(), fixture.place());
    unusable(fixture, &place).await;

    let directory = place.join("data");
    fixture.make_directory(&directory);
    assert_eq!(port.measure(&directory).await.unwrap(), DirectorySize::default(), "an empty one");
    assert_eq!(port.empty(&directory, &|_| ()).await.unwrap(), Emptied::default(), "an empty one");

    let outside = place.join("outside");
    fixture.make_directory(&outside.join("deep"));
    fixture.make_file(&outside.join("deep/file"), "stays");
    fixture.make_directory(&directory.join("a/b/c"));
    fixture.make_directory(&directory.join("empty"));
    for (path, content) in [("one", "123"), (".hidden", ""), ("a/two", "12345"), ("a/b/c/three", "1")] {
        fixture.make_file(&directory.join(path), content);
    }
    for number in 0..300 {
        fixture.make_file(&directory.join(format!("a/b/{number}")), "x");
    }
    fixture.make_link(&directory.join("a/link to a directory"), &outside);
    fixture.make_link(&directory.join("link to a file"), &outside.join("deep/file"));
    fixture.make_link(&directory.join("link to nothing"), &place.join("nothing"));
    fixture.make_link(&directory.join("a/link upwards"), Path::new(".."));

    let before = fixture.listing(&place);
    let size = DirectorySize { files: 4 + 300 + 4, bytes: 9 + 300 };
    assert_eq!(port.measure(&directory).await.unwrap(), size, "links are counted and not followed");
    assert_eq!(fixture.listing(&place), before, "measuring changes nothing");

    let told = Mutex::new(Vec::new());
    let emptied = port.empty(&directory, &|count| told.lock().unwrap().push(count)).await.unwrap();
    assert_eq!(emptied, Emptied { removed: size, left: 0, why: None });
    let told = told.into_inner().unwrap();
    assert!(told.is_sorted() && told.last() == Some(&size.files), "{told:?}");
    let stays =
        before.into_iter().filter(|path| !path.starts_with(&directory) || *path == directory).collect();
    assert_eq!(fixture.listing(&place), stays, "everything in it is gone, and nothing else");
    assert_eq!(port.empty(&directory, &|_| ()).await.unwrap(), Emptied::default(), "again");
}

/// What is no directory is not worked on.
async fn unusable(fixture: &dyn DirectoryFixture, place: &Path) {
    let port = fixture.directories();
    fixture.make_directory(&place.join("real"));
    fixture.make_file(&place.join("real/file"), "stays");
    fixture.make_link(&place.join("link"), &place.join("real"));
    fixture.make_link(&place.join("dangling"), &place.join("nothing"));
    let before = fixture.listing(place);
    for (path, found) in [
        ("missing", None),
        ("missing/below", None),
        ("link", Some("a symbolic link")),
        ("link/", Some("a symbolic link")),
        ("dangling", Some("a symbolic link")),
        ("real/file", Some("a file")),
    ] {
        let path = place.join(path);
        let both = [
            port.measure(&path).await.unwrap_err(),
            port.empty(&path, &|gone| assert_eq!(gone, 0)).await.unwrap_err(),
        ];
        for error in both {
            match (&error, found) {
                (DirectoryError::Missing { path: of }, None) => assert_eq!(*of, path),
                (DirectoryError::NotADirectory { path: of, found }, Some(expect)) => {
                    assert_eq!((of, *found), (&path, expect));
                }
                _ => panic!("{}: {error:?}", path.display()),
            }
        }
    }
    assert_eq!(fixture.listing(place), before);
}
