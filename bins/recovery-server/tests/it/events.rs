//! The event stream.

use recovery_server::app::App;

use crate::world::{Call, World, next_piece};

fn id_of(piece: &str) -> String {
    piece.lines().find_map(|line| line.strip_prefix("id: ")).unwrap().to_owned()
}

#[actix_web::test]
async fn a_watcher_sees_operations_and_goes_on_where_it_stopped() {
    let world = World::new();
    let response = world.open(Call::get("events").admin()).await;
    assert_eq!(response.headers().get("content-type").unwrap(), "text/event-stream");
    let mut body = response.into_body();
    assert!(next_piece(&mut body).await.starts_with("retry: "));
    world.backup().await;
    let first = next_piece(&mut body).await;
    assert!(first.contains("event: operation\ndata: {") && first.contains(r#""state":"running""#), "{first}");
    assert!(first.ends_with("\n\n"));
    drop(body);

    let call = Call::get("events").admin().header("last-event-id", &id_of(&first));
    let mut body = world.open(call).await.into_body();
    next_piece(&mut body).await;
    let mut last = next_piece(&mut body).await;
    assert_eq!(id_of(&last).parse::<u64>().unwrap(), id_of(&first).parse::<u64>().unwrap() + 1);
    while !last.contains(r#""state":"succeeded""#) {
        last = next_piece(&mut body).await;
    }
}

#[actix_web::test]
async fn a_watcher_of_another_run_is_told_to_start_over() {
    let world = World::new();
    for last in ["1", "nonsense", "99999999999999999999"] {
        let mut body =
            world.open(Call::get("events").admin().header("last-event-id", last)).await.into_body();
        next_piece(&mut body).await;
        let piece = next_piece(&mut body).await;
        assert!(piece.contains("event: reset\n"), "{last}: {piece}");
    }
}

#[actix_web::test]
async fn only_so_many_watch_at_once() {
    let world = World::new();
    let mut watching = Vec::new();
    for _ in 0..App::WATCHERS {
        let response = world.open(Call::get("events").admin()).await;
        assert_eq!(response.status(), 200);
        watching.push(response);
    }
    let refused = world.send(Call::get("events").admin()).await;
    refused.assert_problem();
    assert_eq!((refused.status, refused.header("retry-after")), (503, Some("10")));
    watching.pop();
    assert_eq!(world.open(Call::get("events").admin()).await.status(), 200);
}
