//! The listener and its life: from the first request to the last, a few seconds after SIGTERM.

use std::{
    net::{SocketAddr, TcpListener},
    sync::Arc,
    time::Duration,
};

use actix_web::{HttpServer, dev::ServerHandle};
use tokio::signal::unix::{SignalKind, signal};

use super::endpoints::application;
use crate::{app::App, settings::Settings, wiring::StartError};

/// Threads that answer requests. What takes long runs elsewhere, so two are plenty, and each costs memory.
const WORKERS: usize = 2;
/// Connections at once, per thread.
const CONNECTIONS: usize = 256;

/// Runs the service until it is asked to stop.
///
/// # Errors
/// Where it cannot begin: the state directory or the port is not to be had.
pub async fn run(settings: Settings) -> Result<(), StartError> {
    let app = App::build(&settings).await?;
    let listener = bind(SocketAddr::new(settings.bind_address, settings.port))?;
    serve(app, listener).await
}

/// Takes the address to listen on.
///
/// # Errors
/// [`StartError::Listen`] where it cannot be had, for example because another program has it.
pub fn bind(address: SocketAddr) -> Result<TcpListener, StartError> {
    TcpListener::bind(address).map_err(|source| StartError::Listen { address, source })
}

/// Answers requests until SIGTERM or SIGINT. Then operations are stopped first, so that whoever waits for one is told,
/// and the connections after them; all within eight seconds.
///
/// # Errors
/// Where the server itself fails.
pub async fn serve(app: Arc<App>, listener: TcpListener) -> Result<(), StartError> {
    let address = listener.local_addr().map_err(StartError::Serve)?;
    app.start().await;
    let shared = Arc::clone(&app);
    let server = HttpServer::new(move || application(Arc::clone(&shared)))
        .workers(WORKERS)
        .worker_max_blocking_threads(2)
        .max_connections(CONNECTIONS)
        .keep_alive(Duration::from_secs(75))
        .client_request_timeout(Duration::from_secs(10))
        .client_disconnect_timeout(Duration::from_secs(1))
        .shutdown_timeout(1)
        .disable_signals()
        .listen(listener)
        .map_err(StartError::Serve)?
        .run();
    tracing::info!(%address, "listening");
    let stopper = tokio::spawn(stop_on_signal(app, server.handle()));
    let ended = server.await.map_err(StartError::Serve);
    stopper.abort();
    tracing::info!("stopped");
    ended
}

async fn stop_on_signal(app: Arc<App>, server: ServerHandle) {
    match (signal(SignalKind::terminate()), signal(SignalKind::interrupt())) {
        (Ok(mut terminate), Ok(mut interrupt)) => {
            tokio::select! {
                _ = terminate.recv() => tracing::info!("asked to stop by SIGTERM"),
                _ = interrupt.recv() => tracing::info!("asked to stop by SIGINT"),
            }
        }
        (Err(error), _) | (_, Err(error)) => {
            tracing::error!(
                "signals cannot be awaited, so the service stops only when it is killed: {error}"
            );
            std::future::pending::<()>().await;
        }
    }
    app.shutdown(App::STOP_LIMIT).await;
    server.stop(true).await;
}
