//! The pipeline's front: takes an order over HTTP, publishes it, and answers 202 once the broker has acknowledged it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use bytes::Bytes;
use unchain::contract::{Codecs, Contract};
use unchain::envelope;
use unchain::kafka::{Connection, NewRecord, Publisher, PublisherSettings};

use super::Placed;
use super::topics::{RunName, registry};
use crate::error::ServiceError;
use crate::http_server;
use crate::load::OrderBody;
use crate::settings::PipelineSettings;

/// The name of the front in the envelopes of its records.
const SOURCE: &str = "front";
/// Few orders wait for one another: a caller waits for each.
const LINGER: Duration = Duration::from_millis(1);
/// What may wait for the broker; a bound that the delivery timeout keeps far away.
const MAX_QUEUED_RECORDS: usize = 50_000;

struct Front {
    publisher: Publisher,
    codecs: Mutex<Codecs>,
    topic: String,
}

/// Serves until SIGTERM.
pub async fn serve(
    listen: &str,
    connection: &Connection,
    run: &RunName,
    settings: &PipelineSettings,
) -> Result<(), ServiceError> {
    let publisher_settings = PublisherSettings {
        linger: LINGER,
        max_queued_records: MAX_QUEUED_RECORDS,
        delivery_timeout: Duration::from_millis(settings.delivery_timeout_ms),
        ..PublisherSettings::default()
    };
    let mut codecs = Codecs::new(registry()?);
    codecs.add_encoder::<Placed>()?;
    let front = Arc::new(Front {
        publisher: Publisher::new(connection, publisher_settings)?,
        codecs: Mutex::new(codecs),
        topic: run.topic::<Placed>(),
    });
    let router = Router::new().route("/orders", post(order)).with_state(front);
    http_server::serve(listen, router, Duration::from_millis(settings.drain_ms)).await
}

async fn order(State(front): State<Arc<Front>>, body: Bytes) -> Response {
    let order: OrderBody = match serde_json::from_slice(&body) {
        Ok(order) => order,
        Err(error) => return (StatusCode::BAD_REQUEST, error.to_string()).into_response(),
    };
    match front.publish(order).await {
        Ok(()) => StatusCode::ACCEPTED.into_response(),
        Err(reason) => {
            tracing::debug!(reason, "an order was not published");
            StatusCode::SERVICE_UNAVAILABLE.into_response()
        }
    }
}

impl Front {
    async fn publish(&self, order: OrderBody) -> Result<(), String> {
        let headers = envelope::of_origin(&order.order_id, Placed::TOPIC.schema_name, SOURCE);
        let placed = Placed { order_id: order.order_id, customer_id: order.customer_id, cents: order.cents };
        let encoded = self.codecs.lock().unwrap_or_else(PoisonError::into_inner).encode(&placed);
        let record = NewRecord {
            topic: &self.topic,
            partition: None,
            timestamp_ms: None,
            key: Some(Bytes::copy_from_slice(placed.key().as_bytes())),
            value: Some(encoded.map_err(|error| error.to_string())?),
            headers,
        };
        let acknowledged = self.publisher.send_acknowledged(&record).map_err(|error| error.to_string())?;
        let position = acknowledged.await.map_err(|error| error.to_string())?;
        position.map(drop).map_err(|error| error.to_string())
    }
}
