//! A PostgreSQL server in memory that fails on order: `cargo run -p recovery-testkit --example fake_database`.

use recovery_core::port::{DatabaseAdmin, DatabaseError, Swap};
use recovery_testkit::{DatabasePoint, FakeDatabase};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let fake = FakeDatabase::new("nova");
    fake.set_rows("public.users", 3);
    let snapshot = fake.snapshot().await?;
    fake.set_rows("public.users", 4);
    println!("The snapshot shows {:?}.", snapshot.row_counts().await?.tables);
    println!("The database has   {:?}.", fake.rows());

    // What the code under test would do: load into a scratch database, then swap names.
    let swap = Swap { live: fake.name(), incoming: "scratch".parse()?, retired: "nova_before".parse()? };
    fake.create_database(&swap.incoming, &fake.profile(&swap.live).await?).await?;
    fake.faults().fail_next(DatabasePoint::SwapClosed, || DatabaseError::Unavailable {
        doing: "swapping".to_owned(),
        source: "connection reset by peer".into(),
    });
    if let Err(error) = fake.swap(&swap).await {
        println!("{error}; the databases are {:?}.", fake.database_names());
    }
    fake.swap(&swap).await?;
    println!("At the second attempt they are {:?}.", fake.database_names());
    fake.faults().assert_spent();
    Ok(())
}
