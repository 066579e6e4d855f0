//! A TCP proxy before each broker that cuts, stalls and delays what passes.

use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::Failure;

/// What passes the proxy of one broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Condition {
    /// New connections are refused; with `cuts` the present ones end too.
    pub refusing: bool,
    pub requests_stalled: bool,
    pub answers_stalled: bool,
    pub delay: Duration,
    /// Each increment ends the connections of the moment.
    pub cuts: u64,
}

/// The proxies of all brokers, on a thread of their own.
pub struct Proxies {
    conditions: Vec<Arc<watch::Sender<Condition>>>,
    stop: watch::Sender<bool>,
    thread: Option<JoinHandle<()>>,
}

const BUFFER_BYTES: usize = 64 * 1024;

impl Proxies {
    /// Listens on the first address of each pair for the second.
    pub fn start(ways: &[(SocketAddr, SocketAddr)]) -> Result<Proxies, Failure> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(Failure::io("the proxies"))?;
        let (stop, stopped) = watch::channel(false);
        let mut conditions = Vec::new();
        for &(own, broker) in ways {
            let listener = runtime.block_on(TcpListener::bind(own)).map_err(Failure::io(format!("proxy at {own}")))?;
            let condition = Arc::new(watch::Sender::new(Condition::default()));
            runtime.spawn(accept(listener, broker, condition.subscribe()));
            conditions.push(condition);
        }
        let mut stopped = stopped;
        let serve = move || {
            let _ = runtime.block_on(stopped.wait_for(|stop| *stop));
        };
        let thread = std::thread::Builder::new().name("proxies".to_owned()).spawn(serve);
        Ok(Proxies { conditions, stop, thread: Some(thread.map_err(Failure::io("the proxies"))?) })
    }

    pub fn count(&self) -> usize {
        self.conditions.len()
    }

    /// Changes what passes to one broker.
    pub fn change(&self, broker: usize, change: impl FnOnce(&mut Condition)) {
        self.conditions[broker].send_modify(change);
    }

    /// Everything passes again.
    pub fn heal(&self, broker: usize) {
        self.change(broker, |condition| *condition = Condition { cuts: condition.cuts, ..Condition::default() });
    }
}

impl Drop for Proxies {
    fn drop(&mut self) {
        let _ = self.stop.send(true);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn accept(listener: TcpListener, broker: SocketAddr, condition: watch::Receiver<Condition>) {
    loop {
        let Ok((client, _)) = listener.accept().await else { continue };
        if !condition.borrow().refusing {
            tokio::spawn(pass(client, broker, condition.clone()));
        }
    }
}

/// One connection, until one side ends it or it is cut.
async fn pass(client: TcpStream, broker: SocketAddr, mut condition: watch::Receiver<Condition>) {
    let cuts = condition.borrow().cuts;
    let Ok(broker) = TcpStream::connect(broker).await else { return };
    // Without it small answers wait for the next ones.
    let _ = (client.set_nodelay(true), broker.set_nodelay(true));
    let ((from_client, to_client), (from_broker, to_broker)) = (client.into_split(), broker.into_split());
    let requests = copy(from_client, to_broker, condition.clone(), |condition| condition.requests_stalled);
    let answers = copy(from_broker, to_client, condition.clone(), |condition| condition.answers_stalled);
    tokio::select! {
        () = requests => (),
        () = answers => (),
        _ = condition.wait_for(|now| now.cuts != cuts) => (),
    }
}

async fn copy(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut condition: watch::Receiver<Condition>,
    stalled: fn(&Condition) -> bool,
) {
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        let Ok(read @ 1..) = from.read(&mut buffer).await else { return };
        let delay = match condition.wait_for(|now| !stalled(now)).await {
            Ok(now) => now.delay,
            Err(_) => return,
        };
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        if to.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};

    use super::*;

    /// An echo server, and proxies before it.
    fn echo() -> (Proxies, SocketAddr) {
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let behind = server.local_addr().unwrap();
        std::thread::spawn(move || {
            for stream in server.incoming() {
                let mut stream = stream.unwrap();
                std::thread::spawn(move || std::io::copy(&mut stream.try_clone().unwrap(), &mut stream));
            }
        });
        // A port that was free a moment ago.
        let own = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        (Proxies::start(&[(own, behind)]).unwrap(), own)
    }

    fn connect(own: SocketAddr) -> TcpStream {
        let stream = TcpStream::connect(own).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        stream
    }

    fn asks(stream: &mut TcpStream) -> bool {
        let mut answer = [0; 4];
        stream.write_all(b"ping").is_ok() && stream.read_exact(&mut answer).is_ok() && &answer == b"ping"
    }

    #[test]
    fn a_cut_ends_connections_and_new_ones_are_refused_until_it_heals() {
        let (proxies, own) = echo();
        let mut stream = connect(own);
        assert!(asks(&mut stream));
        proxies.change(0, |condition| {
            condition.refusing = true;
            condition.cuts += 1;
        });
        assert!(!asks(&mut stream));
        assert!(!asks(&mut connect(own)));
        proxies.heal(0);
        assert!(asks(&mut connect(own)));
    }

    #[test]
    fn a_lost_answer_was_asked_for_all_the_same() {
        let (proxies, own) = echo();
        let mut stream = connect(own);
        proxies.change(0, |condition| condition.answers_stalled = true);
        stream.write_all(b"ping").unwrap();
        stream.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
        assert!(stream.read_exact(&mut [0; 4]).is_err());
        proxies.heal(0);
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        stream.read_exact(&mut [0; 4]).unwrap();
    }
}
