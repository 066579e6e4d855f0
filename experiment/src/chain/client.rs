//! One HTTP client with its connection pool: a POST with a time limit, and what became of it.

use std::time::Duration;

use axum::http::{Request, header};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};

use super::{DEADLINE_HEADER, KEY_HEADER};

/// An idle connection is closed before the callee would wonder about it.
const MAX_IDLE: Duration = Duration::from_secs(30);

#[derive(Debug, Clone)]
pub struct HttpClient {
    client: Client<HttpConnector, Full<Bytes>>,
}

/// An answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reply {
    pub status: u16,
    pub retry_after: Option<Duration>,
}

/// Why there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SendError {
    /// No connection, or none in time: the callee has seen nothing.
    Connect,
    /// The time was out: the callee may have done anything.
    TimedOut,
    /// The connection broke: the callee may have done anything.
    Broken,
}

impl HttpClient {
    pub fn new(connect_timeout: Duration, max_idle_connections: usize) -> HttpClient {
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(connect_timeout));
        connector.set_nodelay(true);
        let client = Client::builder(TokioExecutor::new())
            .pool_idle_timeout(MAX_IDLE)
            .pool_max_idle_per_host(max_idle_connections)
            .pool_timer(TokioTimer::new())
            .build(connector);
        HttpClient { client }
    }

    /// Sends an order and waits for the answer, at most `timeout`.
    pub async fn post(
        &self,
        url: &str,
        order_id: &str,
        deadline_us: u64,
        body: Bytes,
        timeout: Duration,
    ) -> Result<Reply, SendError> {
        let request = Request::post(url)
            .header(header::CONTENT_TYPE, "application/json")
            .header(KEY_HEADER, order_id)
            .header(DEADLINE_HEADER, deadline_us)
            .body(Full::new(body))
            .map_err(|_| SendError::Connect)?;
        let exchange = async {
            let response = self.client.request(request).await.map_err(|error| match error.is_connect() {
                true => SendError::Connect,
                false => SendError::Broken,
            })?;
            let status = response.status().as_u16();
            let retry_after = response.headers().get(header::RETRY_AFTER).and_then(|value| value.to_str().ok());
            let retry_after = retry_after.and_then(|text| text.parse().ok()).map(Duration::from_secs);
            // Read to its end, so that the connection goes back to the pool.
            response.into_body().collect().await.map_err(|_| SendError::Broken)?;
            Ok(Reply { status, retry_after })
        };
        tokio::time::timeout(timeout, exchange).await.unwrap_or(Err(SendError::TimedOut))
    }
}
