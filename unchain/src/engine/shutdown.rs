//! The signal to stop, which everything that runs or waits can observe.

use std::time::Duration;

use tokio::sync::watch;

/// Held by whoever may stop the engine; dropping it is the signal as well.
#[derive(Debug)]
pub struct Stopper(watch::Sender<bool>);

/// Observes the signal.
#[derive(Debug, Clone)]
pub struct Shutdown(watch::Receiver<bool>);

pub fn channel() -> (Stopper, Shutdown) {
    let (sender, receiver) = watch::channel(false);
    (Stopper(sender), Shutdown(receiver))
}

impl Stopper {
    pub fn stop(&self) {
        self.0.send_replace(true);
    }
}

impl Shutdown {
    pub fn is_signalled(&self) -> bool {
        *self.0.borrow() || self.0.has_changed().is_err()
    }

    /// Completes once the signal is given.
    pub async fn signalled(&mut self) {
        // An error means that the stopper is gone, which is a signal too.
        let _ = self.0.wait_for(|stopped| *stopped).await;
    }

    /// Waits for `pause`, or less where the signal comes; tells whether it came.
    pub async fn pause(&mut self, pause: Duration) -> bool {
        tokio::time::timeout(pause, self.signalled()).await.is_ok()
    }
}
