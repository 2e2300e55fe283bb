//! Counts the keys of Redis that a default factory reset would remove; with a second argument `remove`, removes them:
//! `cargo run -p recovery-reset --example keys -- redis://127.0.0.1:6379/7 count`

use std::{error::Error, time::Instant};

use recovery_reset::{Categories, KeyEffort, ResetKeys, Selection};
use recovery_store::RedisStore;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let url = arguments.next().ok_or("give the URL of a Redis server")?;
    let redis = RedisStore::new(&url.into())?;
    let keys = ResetKeys::new(&redis, redis.system_database());
    let categories = Categories::built_in()?;
    let selection = Selection::defaults(&categories);

    let begun = Instant::now();
    let plan = keys.plan(&categories, &selection, KeyEffort::Exact).await?;
    for (category, databases) in &plan.categories {
        for (database, count) in databases {
            println!("{:>12}  database {database}, {category}", count.keys);
        }
    }
    for (database, count) in &plan.unclassified {
        println!("{:>12}  database {database}, in no category: they stay", count.keys);
    }
    println!("counted in {:?}", begun.elapsed());
    if arguments.next().as_deref() == Some("remove") {
        let begun = Instant::now();
        let deleted = keys.delete(&plan.going, &|_| ()).await;
        println!("{} keys removed in {:?}", deleted.total(), begun.elapsed());
        if let Some((database, error)) = deleted.failed.into_iter().next() {
            eprintln!("not everything is gone from database {database}");
            return Err(error.into());
        }
    }
    Ok(())
}
