//! The broker's thread: it listens, serves connections and keeps house until it is told to stop.

mod connection;
mod dispatch;
mod housekeeping;
mod shape;

use std::cell::{Cell, RefCell};
use std::net::{SocketAddr, TcpListener as StdListener};
use std::path::Path;
use std::rc::Rc;
use std::sync::{Mutex, PoisonError, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::LocalSet;

use crate::config::{BrokerConfig, StartError};
use crate::core::Core;
use connection::{Bounds, ConnectionError};

/// A running broker. Dropping it stops it.
#[derive(Debug)]
pub struct Broker {
    bootstrap_servers: String,
    stop: Option<oneshot::Sender<()>>,
    /// Behind a mutex only so that a `Broker` can be shared, in a static for example.
    stopped: Mutex<mpsc::Receiver<()>>,
    thread: Option<JoinHandle<()>>,
    stop_timeout: Duration,
}

impl Broker {
    /// Starts a broker on its own thread and returns once it listens.
    ///
    /// # Errors
    /// When the address is taken, the data directory cannot be used or is in use, or the configuration makes no sense.
    pub fn start(config: BrokerConfig) -> Result<Broker, StartError> {
        if config.default_partitions < 1 || config.max_connections < 1 {
            return Err(StartError::Config("default_partitions and max_connections must be at least 1"));
        }
        let lock = config.data_dir.as_deref().map(lock_data_dir).transpose()?;
        let refused = |source| StartError::Listen { listen: config.listen.clone(), source };
        let listener = StdListener::bind(&config.listen).map_err(refused)?;
        listener.set_nonblocking(true).map_err(refused)?;
        let address = listener.local_addr().map_err(refused)?;
        let host = config.advertised_host.clone().unwrap_or_else(|| advertised(address));
        let bootstrap_servers = format!("{host}:{}", address.port());
        let stop_timeout = config.stop_timeout;
        let (stop, stop_asked) = oneshot::channel();
        let (ready, started) = mpsc::channel();
        let (done, stopped) = mpsc::channel();
        let thread = std::thread::Builder::new()
            .name("unchain-broker".to_owned())
            .spawn(move || {
                run(config, host, listener, ready, stop_asked);
                drop(lock);
                // Nobody may wait for it, when a broker is dropped after its time to stop is over.
                let _ = done.send(());
            })
            .map_err(StartError::Thread)?;
        match started.recv() {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return Err(error),
            Err(_) => return Err(StartError::Thread(std::io::Error::other("the thread ended while starting"))),
        }
        Ok(Broker {
            bootstrap_servers,
            stop: Some(stop),
            stopped: Mutex::new(stopped),
            thread: Some(thread),
            stop_timeout,
        })
    }

    /// What clients connect to: `host:port`.
    pub fn bootstrap_servers(&self) -> String {
        self.bootstrap_servers.clone()
    }

    /// Stops the broker: connections are closed, waiting members are told, files are closed. Returns when that is done,
    /// at the latest after `stop_timeout`.
    pub fn stop(mut self) {
        self.shut_down();
    }

    fn shut_down(&mut self) {
        if let Some(stop) = self.stop.take() {
            // The thread may have ended by itself.
            let _ = stop.send(());
        }
        let Some(thread) = self.thread.take() else { return };
        let stopped = self.stopped.get_mut().unwrap_or_else(PoisonError::into_inner);
        match stopped.recv_timeout(self.stop_timeout) {
            Err(mpsc::RecvTimeoutError::Timeout) => tracing::warn!("the broker's thread did not stop in time"),
            Ok(()) | Err(mpsc::RecvTimeoutError::Disconnected) => {
                if thread.join().is_err() {
                    tracing::error!("the broker's thread panicked");
                }
            }
        }
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.shut_down();
    }
}

/// Clients cannot connect to a wildcard address.
fn advertised(address: SocketAddr) -> String {
    match address {
        address if address.ip().is_unspecified() => "127.0.0.1".to_owned(),
        SocketAddr::V4(v4) => v4.ip().to_string(),
        SocketAddr::V6(v6) => format!("[{}]", v6.ip()),
    }
}

/// Two brokers on one directory would destroy it; the lock goes with the process, however it ends.
fn lock_data_dir(data_dir: &Path) -> Result<std::fs::File, StartError> {
    let refused = |source| StartError::DataDir { data_dir: data_dir.to_owned(), source };
    std::fs::create_dir_all(data_dir).map_err(refused)?;
    let lock = std::fs::File::create(data_dir.join("lock")).map_err(refused)?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(std::fs::TryLockError::WouldBlock) => Err(StartError::Locked { data_dir: data_dir.to_owned() }),
        Err(std::fs::TryLockError::Error(source)) => Err(refused(source)),
    }
}

fn run(
    config: BrokerConfig,
    host: String,
    listener: StdListener,
    ready: mpsc::Sender<Result<(), StartError>>,
    stop: oneshot::Receiver<()>,
) {
    let started = (|| {
        let port = listener.local_addr().map_err(StartError::Thread)?.port();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(StartError::Thread)?;
        let listener = {
            let _inside = runtime.enter();
            TcpListener::from_std(listener).map_err(StartError::Thread)?
        };
        Ok((runtime, listener, Core::open(config, host, port)?))
    })();
    let (runtime, listener, core) = match started {
        Ok(parts) => parts,
        Err(error) => {
            // `start` is waiting for exactly this message.
            let _ = ready.send(Err(error));
            return;
        }
    };
    let core = Rc::new(RefCell::new(core));
    let tasks = LocalSet::new();
    tasks.spawn_local(accept(core.clone(), listener));
    tasks.spawn_local(housekeeping::run(core.clone()));
    if ready.send(Ok(())).is_err() {
        return;
    }
    // Ends when it is told to, or when the `Broker` is gone.
    let _ = tasks.block_on(&runtime, stop);
    core.borrow_mut().groups.close();
}

async fn accept(core: Rc<RefCell<Core>>, listener: TcpListener) {
    let (bounds, max_connections) = {
        let config = &core.borrow().config;
        let bounds = Bounds {
            max_request_bytes: config.max_request_bytes,
            idle_timeout: config.idle_timeout,
            write_timeout: config.write_timeout,
        };
        (bounds, config.max_connections)
    };
    let open = Rc::new(Cell::new(0));
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                // Out of file descriptors, most likely: wait for some to be closed.
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        if open.get() >= max_connections {
            tracing::warn!(max_connections, "too many connections, closing the newest");
            continue;
        }
        open.set(open.get() + 1);
        let (core, open) = (core.clone(), open.clone());
        tokio::task::spawn_local(async move {
            match connection::serve(&core, stream, bounds).await {
                Ok(()) => {}
                // Clients come and go: how they close their sockets is nobody's concern.
                Err(ConnectionError::Io(error)) => tracing::debug!(%error, "a connection ended"),
                Err(error) => tracing::warn!(%error, "closed a connection"),
            }
            open.set(open.get() - 1);
        });
    }
}
