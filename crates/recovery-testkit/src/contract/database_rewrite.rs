//! What `DatabaseRewrite` promises.

use std::{
    collections::BTreeSet,
    sync::atomic::{AtomicU64, Ordering},
};

use recovery_core::port::Script;

use super::{
    database::{DatabaseFixture, new_name, usual_profile},
    soon,
};

pub(super) async fn rewrites(fixture: &dyn DatabaseFixture) {
    let (admin, name) = (fixture.admin(), new_name("rewrite"));
    let profile = usual_profile(admin).await;
    admin.create_database(&name, &profile).await.unwrap();
    fixture.set_rows(&name, "old", 3).await;
    let old = admin.row_counts(&name, 1).await.unwrap();
    let directory = tempfile::tempdir().expect("a temporary directory");
    let [definitions, rows] = fixture.scripts(directory.path(), "new", 250);
    let keep = BTreeSet::from(["plpgsql".to_owned()]);
    let application = new_name("application");

    for is_committed in [false, true] {
        let rewrite = admin.rewrite(&name, application.as_str()).await.unwrap();
        let other =
            rewrite.other_roles(&[profile.owner.clone(), "nobody of this name".to_owned()]).await.unwrap();
        assert_eq!(other.missing.into_iter().collect::<Vec<_>>(), ["nobody of this name"]);
        assert!(other.foreign.is_empty(), "a superuser may act as everybody: {:?}", other.foreign);

        let extensions = ["plpgsql".to_owned(), "no such extension".to_owned()];
        assert_eq!(rewrite.impossible_extensions(&extensions).await.unwrap(), ["no such extension"]);
        rewrite.hold_writers().await.unwrap();
        assert_eq!(admin.row_counts(&name, 1).await.unwrap(), old, "others may read");
        let kept = rewrite.clear(&keep).await.unwrap();
        assert!(kept.schemas.contains("public") && kept.leftovers.is_empty(), "{kept:?}");
        assert_eq!(rewrite.row_counts().await.unwrap().tables.len(), 0, "nothing is left");
        let done = AtomicU64::new(0);
        rewrite.run(Script::Definitions, &definitions, &done).await.unwrap();
        rewrite.run(Script::Rows, &rows, &done).await.unwrap();
        assert_eq!(done.load(Ordering::Relaxed), std::fs::metadata(&rows).expect("the script").len());
        let counts = rewrite.row_counts().await.unwrap();
        assert_eq!(counts.tables, [("public.new".to_owned(), 250)].into());
        let mut commented = profile.clone();
        commented.comment = Some("rewritten".to_owned());
        assert_eq!(rewrite.apply_profile(&commented).await.unwrap(), [""; 0]);

        if is_committed {
            rewrite.commit().await.unwrap();
            assert_eq!(admin.row_counts(&name, 1).await.unwrap(), counts);
            assert_eq!(admin.profile(&name).await.unwrap().comment, commented.comment);
        } else {
            drop(rewrite);
            assert_eq!(admin.row_counts(&name, 1).await.unwrap(), old, "what is dropped was never there");
            assert_eq!(admin.profile(&name).await.unwrap().comment, profile.comment);
        }
        soon("its session is gone", async || {
            admin.terminate_application(application.as_str()).await.unwrap() == 0
        })
        .await;
    }

    let rewrite = admin.rewrite(&name, application.as_str()).await.unwrap();
    rewrite.clear(&keep).await.unwrap();
    assert_eq!(admin.terminate_application(application.as_str()).await.unwrap(), 1);
    soon("its session has ended", async || rewrite.row_counts().await.is_err()).await;
    assert!(rewrite.commit().await.is_err(), "what was cut off cannot be committed");
    assert_eq!(admin.row_counts(&name, 1).await.unwrap().tables, [("public.new".to_owned(), 250)].into());
    admin.drop_database(&name).await.unwrap();
}
