//! Mails and how they leave: into an mbox file, or to a relay by SMTP, as configured.

mod mbox;
mod scan;
mod smtp;

use std::fmt::{self, Display};
use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::str::FromStr;
use std::sync::Arc;

use serde::Deserialize;
use thiserror::Error;

pub use mbox::Mbox;
pub use scan::count_mails;
pub use smtp::Smtp;

/// A mail about an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mail {
    /// Names the mail: it is sent once an order.
    pub order_id: String,
    pub recipient: String,
    pub subject: String,
    /// Plain text, each line ended.
    pub body: String,
    /// The day it speaks of, in days since 1970-01-01.
    pub written_on: i32,
}

impl Mail {
    /// The `Message-ID`, the same for every attempt. What it may not hold as it is, is written as `%XX`.
    pub fn message_id(&self) -> String {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        let mut id = String::with_capacity(self.order_id.len() + 24);
        for byte in self.order_id.bytes() {
            if plain(byte) { id.push(byte as char) } else { id.push_str(&format!("%{byte:02X}")) }
        }
        format!("<order-{id}@unchain.example>")
    }
}

/// A mail that is being sent.
pub type Sending<'a> = Pin<Box<dyn Future<Output = Result<(), MailError>> + Send + 'a>>;

/// Sends mails; a mail that was sent before is not sent again, as far as the way of sending can tell.
pub trait Mailer: Send + Sync {
    fn send<'a>(&'a self, mail: &'a Mail) -> Sending<'a>;
}

/// Why a mail was not sent.
#[derive(Debug, Error)]
pub enum MailError {
    #[error("mbox file {}: {source}", path.display())]
    Mbox { path: PathBuf, source: std::io::Error },
    #[error("mail of order {order_id} cannot be written: {reason}")]
    Unsuitable { order_id: String, reason: String },
    #[error("mail relay {relay}: {reason}")]
    Relay { relay: String, reason: String, refused: bool },
}

impl MailError {
    /// Whether another attempt would end the same way.
    pub fn is_final(&self) -> bool {
        matches!(self, MailError::Unsuitable { .. } | MailError::Relay { refused: true, .. })
    }
}

/// Where mails go.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum EmailConfig {
    /// `mbox:PATH`
    Mbox { path: PathBuf },
    /// `smtp://HOST:PORT`
    Smtp { host: String, port: u16 },
}

impl EmailConfig {
    /// Nothing is opened before the first mail.
    pub fn mailer(&self) -> Arc<dyn Mailer> {
        match self {
            EmailConfig::Mbox { path } => Arc::new(Mbox::new(path)),
            EmailConfig::Smtp { host, port } => Arc::new(Smtp::new(host, *port)),
        }
    }
}

impl Default for EmailConfig {
    fn default() -> Self {
        EmailConfig::Mbox { path: PathBuf::from("orders.mbox") }
    }
}

impl Display for EmailConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            EmailConfig::Mbox { path } => write!(f, "mbox:{}", path.display()),
            EmailConfig::Smtp { host, port } => write!(f, "smtp://{host}:{port}"),
        }
    }
}

/// A setting that names no way to send mails.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{given:?} is no way to send mails: there are mbox:PATH and smtp://HOST:PORT")]
pub struct UnknownTransport {
    given: String,
}

impl FromStr for EmailConfig {
    type Err = UnknownTransport;

    fn from_str(text: &str) -> Result<Self, UnknownTransport> {
        let unknown = || UnknownTransport { given: text.to_owned() };
        if let Some(path) = text.strip_prefix("mbox:").filter(|path| !path.is_empty()) {
            return Ok(EmailConfig::Mbox { path: path.into() });
        }
        let address = text.strip_prefix("smtp://").ok_or_else(unknown)?;
        let (host, port) = address.rsplit_once(':').filter(|(host, _)| !host.is_empty()).ok_or_else(unknown)?;
        Ok(EmailConfig::Smtp { host: host.to_owned(), port: port.parse().map_err(|_| unknown())? })
    }
}

impl TryFrom<String> for EmailConfig {
    type Error = UnknownTransport;

    fn try_from(text: String) -> Result<Self, UnknownTransport> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transport_is_named_by_its_address() {
        assert_eq!("mbox:a/b.mbox".parse(), Ok(EmailConfig::Mbox { path: "a/b.mbox".into() }));
        assert_eq!("smtp://mail:25".parse(), Ok(EmailConfig::Smtp { host: "mail".into(), port: 25 }));
        for wrong in ["", "mbox:", "smtp://mail", "smtp://:25", "smtp://mail:many", "pigeon:post"] {
            let refused = wrong.parse::<EmailConfig>().unwrap_err().to_string();
            assert!(refused.contains("mbox:PATH and smtp://HOST:PORT"), "{refused}");
        }
    }

    #[test]
    fn a_message_id_is_the_orders_and_holds_nothing_that_breaks_a_header() {
        let id = |order_id: &str| {
            let (recipient, subject, body) = Default::default();
            Mail { order_id: order_id.to_owned(), recipient, subject, body, written_on: 0 }.message_id()
        };
        assert_eq!(id("00001-001"), "<order-00001-001@unchain.example>");
        assert_eq!(id("a\r\nBcc: b>"), "<order-a%0D%0ABcc%3A%20b%3E@unchain.example>");
    }
}
