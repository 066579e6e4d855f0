//! One service of the synchronous chain: does its own work once for each order, then calls the next, then answers.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::downstream::{CallFailed, Downstream, time_left};
use super::remembered::Remembered;
use super::{DEADLINE_HEADER, KEY_HEADER};
use crate::clock::now_us;
use crate::effects::{EffectsLog, read_effects};
use crate::error::ServiceError;
use crate::http_server;
use crate::settings::ChainSettings;
use crate::step::Step;
use crate::work::Work;

/// What a refused caller is told to wait: the shortest that the header can say.
const RETRY_AFTER_SECONDS: HeaderValue = HeaderValue::from_static("1");

/// How a service of the chain is started.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct HopSpec {
    pub step: Step,
    pub listen: String,
    /// The next service's address; none for the last.
    pub next: Option<String>,
    pub circuit_breaker: bool,
    pub effects: PathBuf,
}

struct Hop {
    work: Work,
    settings: ChainSettings,
    remembered: Remembered,
    effects: EffectsLog,
    next: Option<Downstream>,
    /// Orders that wait for a permit or have one.
    queued: AtomicUsize,
    max_queued: usize,
}

enum WorkFailed {
    /// The caller has gone before there was a permit.
    Expired,
    Effects(std::io::Error),
}

/// Serves until SIGTERM.
pub async fn serve(
    spec: &HopSpec,
    settings: &ChainSettings,
    work: Work,
    concurrency: usize,
) -> Result<(), ServiceError> {
    let in_file = |source| ServiceError::Effects { file: spec.effects.clone(), source };
    let done = read_effects(&spec.effects).map_err(in_file)?;
    let seed = spec.step.index() as u64;
    let next = spec.next.as_ref().map(|address| {
        let services_left = spec.step.services_left() - 1;
        Downstream::new(format!("http://{address}/orders"), settings, services_left, spec.circuit_breaker, seed)
    });
    let hop = Arc::new(Hop {
        work,
        settings: settings.clone(),
        remembered: Remembered::with_done(
            settings.max_remembered_orders,
            done.into_iter().map(|effect| effect.order_id),
        ),
        effects: EffectsLog::append_to(&spec.effects, spec.step.name()).map_err(in_file)?,
        next,
        queued: AtomicUsize::new(0),
        max_queued: settings.max_queue + concurrency,
    });
    let router = Router::new().route("/orders", post(order)).with_state(hop);
    http_server::serve(&spec.listen, router, Duration::from_millis(settings.drain_ms)).await
}

async fn order(State(hop): State<Arc<Hop>>, headers: HeaderMap, body: Bytes) -> Response {
    let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    let Some(order_id) = text(KEY_HEADER).map(str::to_owned) else {
        return (StatusCode::BAD_REQUEST, "idempotency-key: missing\n").into_response();
    };
    let own_deadline_us = now_us() + hop.settings.deadline_ms * 1_000;
    let deadline_us = text(DEADLINE_HEADER).and_then(|text| text.parse().ok()).unwrap_or(u64::MAX).min(own_deadline_us);
    // Asked before anything is done: what would fail anyway is not left half done.
    if hop.next.as_ref().is_some_and(Downstream::refuses) {
        return StatusCode::BAD_GATEWAY.into_response();
    }
    let Some(place) = Place::take(&hop) else {
        return (StatusCode::SERVICE_UNAVAILABLE, [(header::RETRY_AFTER, RETRY_AFTER_SECONDS)]).into_response();
    };
    // A task of its own: work that was begun ends, though the caller may be gone.
    let worked = tokio::spawn(own_work(place, order_id.clone(), deadline_us)).await;
    match worked {
        Ok(Ok(())) => {}
        Ok(Err(WorkFailed::Expired)) => return StatusCode::GATEWAY_TIMEOUT.into_response(),
        Ok(Err(WorkFailed::Effects(error))) => {
            tracing::error!(%error, "an effect could not be written");
            return StatusCode::INTERNAL_SERVER_ERROR.into_response();
        }
        Err(_) => return StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
    let Some(next) = &hop.next else { return StatusCode::OK.into_response() };
    match next.call(&order_id, &body, deadline_us).await {
        Ok(()) => StatusCode::OK,
        Err(CallFailed::TimedOut) => StatusCode::GATEWAY_TIMEOUT,
        Err(CallFailed::Failed | CallFailed::BreakerOpen) => StatusCode::BAD_GATEWAY,
    }
    .into_response()
}

/// A place in the bounded queue before the work.
struct Place(Arc<Hop>);

impl Place {
    fn take(hop: &Arc<Hop>) -> Option<Place> {
        let place = Place(Arc::clone(hop));
        (hop.queued.fetch_add(1, Ordering::Relaxed) < hop.max_queued).then_some(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.queued.fetch_sub(1, Ordering::Relaxed);
    }
}

async fn own_work(place: Place, order_id: String, deadline_us: u64) -> Result<(), WorkFailed> {
    let hop = &place.0;
    let once = hop.remembered.of(&order_id);
    let work = async || {
        let permit = tokio::time::timeout(time_left(deadline_us), hop.work.begin()).await;
        permit.map_err(|_| WorkFailed::Expired)?.finish().await;
        hop.effects.add(&order_id, now_us()).map_err(WorkFailed::Effects)
    };
    once.get_or_try_init(work).await.map(drop)
}
