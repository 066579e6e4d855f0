//! An HTTP server that says when it listens, and on SIGTERM finishes what is under way within a bound.

use std::time::Duration;

use axum::Router;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;

use crate::error::ServiceError;
use crate::service::say_ready;

/// Serves until SIGTERM or SIGINT.
pub async fn serve(listen: &str, router: Router, drain_timeout: Duration) -> Result<(), ServiceError> {
    let at = |source| ServiceError::Listen { address: listen.to_owned(), source };
    let mut terminate = signal(SignalKind::terminate()).map_err(ServiceError::Signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(ServiceError::Signals)?;
    let listener = TcpListener::bind(listen).await.map_err(at)?;
    say_ready();
    let ending = Notify::new();
    let told = async {
        tokio::select! { _ = terminate.recv() => (), _ = interrupt.recv() => () }
        ending.notify_one();
    };
    let drained_for_too_long = async {
        ending.notified().await;
        tokio::time::sleep(drain_timeout).await;
    };
    // The server wants what it waits for to be its own.
    let (tell, told_server) = tokio::sync::oneshot::channel::<()>();
    let server = axum::serve(listener, router).with_graceful_shutdown(async move {
        let _ = told_server.await;
    });
    let served = async { server.await.map_err(at) };
    let tell = async {
        told.await;
        let _ = tell.send(());
        std::future::pending::<()>().await;
    };
    tokio::select! {
        served = served => served,
        () = tell => Ok(()),
        () = drained_for_too_long => {
            tracing::warn!("requests were still under way after the drain timeout");
            Ok(())
        }
    }
}
