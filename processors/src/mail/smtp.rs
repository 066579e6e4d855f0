//! Mails handed to a relay by SMTP, over a few connections that are kept open.
//!
//! SMTP has no way to ask whether a mail was taken before. A crash between the relay's answer and the commit sends the
//! mail again, with the same Message-ID, by which relays and mailboxes that look for it drop the second one.
//! There is no encryption: the relay is meant to stand on the same host or in the same pod.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use lettre::message::header::ContentType;
use lettre::transport::smtp::PoolConfig;
use lettre::{Message, SmtpTransport, Transport};
use tokio::sync::Semaphore;

use super::{Mail, MailError, Mailer, Sending};
use crate::rules::MAIL_SENDER;

const MAX_CONNECTIONS: u32 = 8;

/// Longer than a relay takes, shorter than the transaction in which the mail is sent.
const TIMEOUT: Duration = Duration::from_secs(5);

/// A relay; connected to at the first mail.
pub struct Smtp {
    host: String,
    port: u16,
    transport: Arc<OnceLock<SmtpTransport>>,
    /// As many threads wait for the relay as there are connections; the other mails wait without one.
    turns: Arc<Semaphore>,
}

impl Smtp {
    pub fn new(host: &str, port: u16) -> Smtp {
        let turns = Arc::new(Semaphore::new(MAX_CONNECTIONS as usize));
        Smtp { host: host.to_owned(), port, transport: Arc::default(), turns }
    }

    fn error(&self, reason: impl ToString, refused: bool) -> MailError {
        MailError::Relay { relay: format!("{}:{}", self.host, self.port), reason: reason.to_string(), refused }
    }

    async fn deliver(&self, mail: &Mail) -> Result<(), MailError> {
        let message = message(mail)?;
        let turn = Arc::clone(&self.turns).acquire_owned().await.expect("the semaphore is never closed");
        let (transport, host, port) = (Arc::clone(&self.transport), self.host.clone(), self.port);
        let sending = tokio::task::spawn_blocking(move || {
            let sent = transport.get_or_init(|| connect(&host, port)).send(&message);
            drop(turn);
            sent
        });
        match sending.await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(self.error(&error, error.is_permanent())),
            Err(ended) => Err(self.error(ended, false)),
        }
    }
}

impl Mailer for Smtp {
    fn send<'a>(&'a self, mail: &'a Mail) -> Sending<'a> {
        Box::pin(self.deliver(mail))
    }
}

fn connect(host: &str, port: u16) -> SmtpTransport {
    let pool = PoolConfig::new().max_size(MAX_CONNECTIONS);
    SmtpTransport::builder_dangerous(host).port(port).timeout(Some(TIMEOUT)).pool_config(pool).build()
}

fn message(mail: &Mail) -> Result<Message, MailError> {
    let unsuitable = |reason: String| MailError::Unsuitable { order_id: mail.order_id.clone(), reason };
    let from = MAIL_SENDER.parse().expect("the sender is a constant address");
    let to = mail.recipient.parse().map_err(|error| unsuitable(format!("{}: {error}", mail.recipient)))?;
    Message::builder()
        .from(from)
        .to(to)
        .subject(&mail.subject)
        .message_id(Some(mail.message_id()))
        .header(ContentType::TEXT_PLAIN)
        .body(mail.body.clone())
        .map_err(|error| unsuitable(error.to_string()))
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Write};
    use std::net::TcpListener;

    use super::*;

    /// Serves one connection as a relay does and returns the mails that it took.
    fn relay(listener: &TcpListener, answer_to_recipient: &str) -> Vec<String> {
        let (stream, _) = listener.accept().unwrap();
        let (mut answers, mut lines) = (&stream, BufReader::new(&stream).lines());
        let mut mails = Vec::new();
        write!(answers, "220 relay\r\n").unwrap();
        while let Some(Ok(line)) = lines.next() {
            match line.split(' ').next().unwrap_or_default() {
                "EHLO" => write!(answers, "250 relay\r\n").unwrap(),
                "RCPT" => write!(answers, "{answer_to_recipient}\r\n").unwrap(),
                "DATA" => {
                    write!(answers, "354 go on\r\n").unwrap();
                    let text = lines.by_ref().map_while(Result::ok).take_while(|line| line != ".");
                    mails.push(text.collect::<Vec<_>>().join("\n"));
                    write!(answers, "250 taken\r\n").unwrap();
                }
                "QUIT" => break,
                _ => write!(answers, "250 fine\r\n").unwrap(),
            }
        }
        mails
    }

    fn send(answer_to_recipient: &'static str) -> (Result<(), MailError>, Vec<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let relay = std::thread::spawn(move || relay(&listener, answer_to_recipient));
        let mail = Mail {
            order_id: "00001-001".into(),
            recipient: "a@example.org".into(),
            subject: "Your order".into(),
            body: "1 unit\n".into(),
            written_on: 9_862,
        };
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let smtp = Smtp::new("127.0.0.1", port);
        let sent = runtime.block_on(smtp.send(&mail));
        drop((smtp, runtime));
        (sent, relay.join().unwrap())
    }

    #[test]
    fn a_mail_reaches_the_relay_under_its_orders_message_id() {
        let (sent, mails) = send("250 fine");
        assert!(sent.is_ok(), "{sent:?}");
        assert_eq!(mails.len(), 1);
        assert!(mails[0].contains("Message-ID: <order-00001-001@unchain.example>"), "{}", mails[0]);
        assert!(mails[0].contains("To: a@example.org") && mails[0].contains("1 unit"), "{}", mails[0]);
    }

    #[test]
    fn a_refused_recipient_is_final_and_a_busy_relay_is_not() {
        assert!(send("550 unknown").0.unwrap_err().is_final());
        assert!(!send("451 busy").0.unwrap_err().is_final());
    }

    #[test]
    fn an_address_that_is_none_is_final() {
        let mail = Mail {
            order_id: "1".into(),
            recipient: "nobody".into(),
            subject: String::new(),
            body: String::new(),
            written_on: 0,
        };
        assert!(message(&mail).unwrap_err().is_final());
    }
}
