//! An archive with one flipped bit, or cut short, anywhere: found, and never restored.

use std::fs;

use recovery_backup::BackupError;
use recovery_core::{OperationId, Verification, VerifyLevel, port::Unwatched};

use crate::fixture::{DATABASE, Fixture};

const PLACES: u64 = 200;
/// Each of these places is also tried with a restore, which takes longer.
const RESTORED: u64 = 8;

/// SplitMix64: the same seed gives the same places.
fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_at_two_hundred_random_places_is_found_and_nothing_of_it_restored() {
    let fixture = Fixture::small();
    let name = fixture.create().await.filename;
    let path = fixture.path(&name);
    let good = fs::read(&path).unwrap();
    let before = fixture.server.pg_dump_text(DATABASE);
    // An operation's id is random at its end.
    let seed = u64::from_str_radix(&OperationId::new().short(), 16).unwrap();
    println!("seed: {seed}");
    let mut state = seed;
    for round in 0..PLACES {
        let place = usize::try_from(next(&mut state) % good.len() as u64).unwrap();
        let mut bytes = good.clone();
        let what = if round % 4 == 3 {
            bytes.truncate(place);
            format!("cut at {place} of {}, seed {seed}", good.len())
        } else {
            let bit = next(&mut state) % 8;
            bytes[place] ^= 1 << bit;
            format!("bit {bit} of byte {place} of {} flipped, seed {seed}", good.len())
        };
        fs::write(&path, bytes).unwrap();
        let checked = fixture.backups.verify(&name, VerifyLevel::Contents, &Unwatched::new()).await;
        let found = match &checked {
            Ok(report) => report.verification == Verification::Failed && !report.problems.is_empty(),
            // What does not even look like an archive any more.
            Err(error) => matches!(error, BackupError::Damaged { .. } | BackupError::Incompatible { .. }),
        };
        assert!(found, "{what}: {checked:?}");
        if round % RESTORED == 0 || round % RESTORED == 3 {
            let error = fixture.restore(&name).await.err().unwrap_or_else(|| panic!("{what}: restored"));
            assert!(
                matches!(error, BackupError::Damaged { .. } | BackupError::Incompatible { .. }),
                "{what}: {error:?}"
            );
            assert_eq!(fixture.databases(), [DATABASE], "{what}");
        }
    }
    assert!(fixture.server.pg_dump_text(DATABASE) == before);
    assert_eq!(fixture.files(), [name.to_string()]);
    fs::write(&path, good).unwrap();
    fixture.restore(&name).await.unwrap();
}
