//! One connection: frames in, responses out, in order and one at a time.
//!
//! While a request is being answered no further one is read, as Kafka does it; what a client pipelines waits in the
//! socket's buffer, which bounds it.

use std::cell::RefCell;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::dispatch::{self, Outcome, RequestError};
use crate::core::Core;

const LENGTH_BYTES: usize = 4;
const READ_BUFFER_BYTES: usize = 64 * 1024;
/// A response buffer that grew beyond this is not kept for the next response.
const MAX_KEPT_BYTES: usize = 2 * 1024 * 1024;

/// Why a connection ended, other than by the client closing it.
#[derive(Debug, thiserror::Error)]
pub enum ConnectionError {
    #[error("frame of {announced} bytes, at most {max_request_bytes} are accepted")]
    FrameSize { announced: i32, max_request_bytes: usize },
    #[error("closed in the middle of a request")]
    CutOff,
    #[error("the client did not read its response within {0:?}")]
    SlowReader(Duration),
    #[error(transparent)]
    Request(#[from] RequestError),
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

/// The bounds of a connection.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    pub max_request_bytes: usize,
    pub idle_timeout: Duration,
    pub write_timeout: Duration,
}

/// Serves a client until it leaves, is silent for too long, or sends what cannot be answered.
pub async fn serve(core: &RefCell<Core>, mut stream: TcpStream, bounds: Bounds) -> Result<(), ConnectionError> {
    stream.set_nodelay(true)?;
    let peer = stream.peer_addr().map(|peer| format!("/{}", peer.ip())).unwrap_or_default();
    let mut input = BytesMut::new();
    let mut out = Vec::new();
    loop {
        let frame = match timeout(bounds.idle_timeout, read_frame(&mut stream, &mut input, &bounds)).await {
            Ok(frame) => frame?,
            Err(_) => return Ok(()),
        };
        let Some(frame) = frame else { return Ok(()) };
        out.clear();
        out.extend_from_slice(&[0; LENGTH_BYTES]);
        if dispatch::answer(core, &peer, frame, &mut out).await? == Outcome::Silent {
            continue;
        }
        let length = (out.len() - LENGTH_BYTES) as u32;
        out[..LENGTH_BYTES].copy_from_slice(&length.to_be_bytes());
        match timeout(bounds.write_timeout, stream.write_all(&out)).await {
            Ok(written) => written?,
            Err(_) => return Err(ConnectionError::SlowReader(bounds.write_timeout)),
        }
        if out.capacity() > MAX_KEPT_BYTES {
            out = Vec::new();
        }
    }
}

/// The next request without its length; `None` when the client closed between requests.
async fn read_frame(
    stream: &mut TcpStream,
    input: &mut BytesMut,
    bounds: &Bounds,
) -> Result<Option<Bytes>, ConnectionError> {
    loop {
        let mut missing = READ_BUFFER_BYTES;
        if input.len() >= LENGTH_BYTES {
            let announced = (&input[..LENGTH_BYTES]).get_i32();
            let max_request_bytes = bounds.max_request_bytes;
            let length = usize::try_from(announced).ok().filter(|length| *length <= max_request_bytes);
            let length = length.ok_or(ConnectionError::FrameSize { announced, max_request_bytes })?;
            if input.len() >= LENGTH_BYTES + length {
                input.advance(LENGTH_BYTES);
                return Ok(Some(input.split_to(length).freeze()));
            }
            // Grows with what arrives, not with what is announced.
            missing = (LENGTH_BYTES + length - input.len()).clamp(READ_BUFFER_BYTES, MAX_KEPT_BYTES);
        }
        input.reserve(missing);
        if stream.read_buf(input).await? == 0 {
            return if input.is_empty() { Ok(None) } else { Err(ConnectionError::CutOff) };
        }
    }
}
