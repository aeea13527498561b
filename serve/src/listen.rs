//! Accepts connections up to a limit. At the end it loses none of the requests that it has
//! accepted.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep, timeout};

use crate::settings::ServeError;
use crate::state::Shared;

/// The pause after a failed accept, for example when the process has no file descriptor left.
const AFTER_FAILURE: Duration = Duration::from_millis(100);
/// The time for accepting connections that the system had accepted before the stop: in total, and
/// for each of them.
const LAST: [Duration; 2] = [Duration::from_secs(1), Duration::from_millis(50)];
/// The time that clients have to send on connections that they hold open. Their requests are
/// answered, and then the connection is closed.
const FAREWELL: Duration = Duration::from_millis(500);

/// The time between two checks whether anything still runs.
const POLL: Duration = Duration::from_millis(20);
/// The time that the last answers may take to be written once no request runs.
const IDLE: Duration = Duration::from_secs(5);

/// Answers requests until `stop` comes. Then it answers those that were accepted, and returns.
pub(crate) async fn listen(
    listener: TcpListener,
    router: Router,
    shared: &Shared,
    stop: impl Future<Output = ()>,
) -> Result<(), ServeError> {
    let limits = &shared.settings.limits;
    let places = Arc::new(Semaphore::new(limits.connections));
    let open = GracefulShutdown::new();
    let start = |stream: TcpStream, place: OwnedSemaphorePermit| {
        let _ = stream.set_nodelay(true);
        let service = TowerToHyperService::new(router.clone());
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(limits.read)
            .serve_connection(TokioIo::new(stream), service);
        let connection = open.watch(connection);
        tokio::spawn(async move {
            let _place = place;
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection was interrupted");
            }
        });
    };
    let mut stop = pin!(stop);
    loop {
        let next = async {
            // This semaphore is never closed.
            let place = places.clone().acquire_owned().await;
            (place, listener.accept().await)
        };
        tokio::select! {
            (place, accepted) = next => match (place, accepted) {
                (Ok(place), Ok((stream, _))) => start(stream, place),
                (_, Err(error)) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    sleep(AFTER_FAILURE).await;
                }
                (Err(_), _) => break,
            },
            () = &mut stop => break,
        }
    }
    shared.stopping.store(true, Ordering::Relaxed);
    tracing::info!(connections = open.count(), "stopping: accepted requests are answered first");
    let [all, each] = LAST;
    let end = Instant::now() + all;
    while Instant::now() < end
        && let Ok(place) = places.clone().try_acquire_owned()
        && let Ok(Ok((stream, _))) = timeout(each, listener.accept()).await
    {
        start(stream, place);
    }
    drop(listener);
    let end = Instant::now() + FAREWELL;
    while open.count() > 0 && Instant::now() < end {
        sleep(Duration::from_millis(10)).await;
    }
    let mut closing = pin!(open.shutdown());
    let end = Instant::now() + limits.stop;
    let mut idle_since = Instant::now();
    while timeout(POLL, &mut closing).await.is_err() {
        let now = Instant::now();
        if shared.running.load(Ordering::Relaxed) > 0 {
            idle_since = now;
        }
        // The clients that are left have begun a request and not finished sending it.
        if now.duration_since(idle_since) > IDLE {
            break;
        }
        if now > end {
            let connections = limits.connections - places.available_permits();
            return Err(ServeError::Unanswered { connections, seconds: limits.stop.as_secs() });
        }
    }
    Ok(())
}
