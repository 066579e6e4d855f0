//! Mails appended to an mbox file, one an order id, whatever restarts, is killed or writes beside.
//!
//! The file is its own record of what was sent: under its lock, a writer reads what others appended, cuts off what a
//! killed writer left half written, and appends unless the order's mail is there. The quoting is mboxrd's; a
//! `Content-Length` tells a whole mail from a torn one. Nothing is synced to disk: a killed process loses no mail, a
//! power cut may. The ids of all mails are held in memory, some 100 bytes a mail.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use super::scan::scan;
use super::{Mail, MailError, Mailer, Sending};
use crate::calendar::Day;
use crate::rules::MAIL_SENDER;

/// An mbox file; opened, and created where it is missing, at the first mail.
pub struct Mbox {
    path: PathBuf,
    open: Mutex<Option<OpenMbox>>,
}

struct OpenMbox {
    file: File,
    /// How far the file has been read or written by this process.
    known_bytes: u64,
    message_ids: HashSet<Box<str>>,
    scratch: Vec<u8>,
}

impl Mbox {
    pub fn new(path: &Path) -> Mbox {
        Mbox { path: path.to_owned(), open: Mutex::new(None) }
    }

    fn deliver(&self, mail: &Mail) -> Result<(), MailError> {
        self.append_once(mail).map_err(|source| MailError::Mbox { path: self.path.clone(), source })
    }

    fn append_once(&self, mail: &Mail) -> io::Result<()> {
        let mut slot = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let mbox = match &mut *slot {
            Some(mbox) => mbox,
            None => slot.insert(OpenMbox::open(&self.path)?),
        };
        mbox.file.lock()?;
        let appended = mbox.append_once(mail);
        let unlocked = mbox.file.unlock();
        appended.and(unlocked)
    }
}

impl Mailer for Mbox {
    fn send<'a>(&'a self, mail: &'a Mail) -> Sending<'a> {
        // Done at once: an append to the page cache is shorter than handing it to another thread.
        Box::pin(std::future::ready(self.deliver(mail)))
    }
}

impl OpenMbox {
    fn open(path: &Path) -> io::Result<OpenMbox> {
        let file = File::options().create(true).read(true).append(true).open(path)?;
        Ok(OpenMbox { file, known_bytes: 0, message_ids: HashSet::new(), scratch: Vec::new() })
    }

    fn append_once(&mut self, mail: &Mail) -> io::Result<()> {
        self.catch_up()?;
        let id = mail.message_id();
        if self.message_ids.contains(id.as_str()) {
            return Ok(());
        }
        self.scratch.clear();
        write_mail(mail, &id, &mut self.scratch)?;
        self.file.write_all(&self.scratch)?;
        self.known_bytes += self.scratch.len() as u64;
        self.message_ids.insert(id.into());
        Ok(())
    }

    /// Reads what was appended since, by whom ever, and cuts off a torn mail.
    fn catch_up(&mut self) -> io::Result<()> {
        let length = self.file.metadata()?.len();
        if length < self.known_bytes {
            // Somebody has emptied or shortened the file: what it held no longer counts.
            (self.known_bytes, self.message_ids) = (0, HashSet::new());
        }
        if length == self.known_bytes {
            return Ok(());
        }
        self.file.seek(SeekFrom::Start(self.known_bytes))?;
        let unread = BufReader::with_capacity(64 * 1024, (&self.file).take(length - self.known_bytes));
        let ids = &mut self.message_ids;
        self.known_bytes += scan(unread, |id| {
            ids.insert(id.into());
        })?;
        if self.known_bytes < length {
            self.file.set_len(self.known_bytes)?;
        }
        Ok(())
    }
}

fn write_mail(mail: &Mail, message_id: &str, out: &mut Vec<u8>) -> io::Result<()> {
    let day = Day::of(mail.written_on);
    let mut body = Vec::with_capacity(mail.body.len());
    for line in mail.body.lines() {
        // mboxrd: a line that could be taken for the beginning of a mail gets one more `>`.
        if line.trim_start_matches('>').starts_with("From ") {
            body.push(b'>');
        }
        writeln!(body, "{line}")?;
    }
    writeln!(out, "From {MAIL_SENDER} {}", day.asctime())?;
    writeln!(out, "From: {MAIL_SENDER}\nTo: {}\nSubject: {}", one_line(&mail.recipient), one_line(&mail.subject))?;
    writeln!(out, "Date: {}\nMessage-ID: {message_id}", day.rfc5322())?;
    writeln!(out, "MIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit")?;
    writeln!(out, "Content-Length: {}\n", body.len())?;
    out.extend_from_slice(&body);
    out.push(b'\n');
    Ok(())
}

/// A header's value: text from a record must not begin a header of its own.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;
    use crate::mail::count_mails;

    fn mail(order_id: &str) -> Mail {
        Mail {
            order_id: order_id.to_owned(),
            recipient: "a@example.org".into(),
            subject: format!("Your order {order_id}"),
            body: "1 unit\nFrom now on\n>From then\n".into(),
            written_on: 9_862,
        }
    }

    #[test]
    fn a_mail_is_quoted_so_that_no_line_of_it_begins_another() {
        let mut written = Vec::new();
        write_mail(&mail("00001-001"), "<id>", &mut written).unwrap();
        expect![[r#"
            From orders@example.org Wed Jan  1 00:00:00 1997
            From: orders@example.org
            To: a@example.org
            Subject: Your order 00001-001
            Date: Wed, 01 Jan 1997 00:00:00 +0000
            Message-ID: <id>
            MIME-Version: 1.0
            Content-Type: text/plain; charset=utf-8
            Content-Transfer-Encoding: 8bit
            Content-Length: 32

            1 unit
            >From now on
            >>From then

        "#]]
        .assert_eq(std::str::from_utf8(&written).unwrap());
    }

    #[test]
    fn an_order_gets_one_mail_from_several_writers_and_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("orders.mbox");
        let (first, second) = (Mbox::new(&path), Mbox::new(&path));
        for order in ["1", "2", "3"] {
            first.deliver(&mail(order)).unwrap();
            second.deliver(&mail(order)).unwrap();
        }
        drop((first, second));
        let restarted = Mbox::new(&path);
        for order in ["3", "4"] {
            restarted.deliver(&mail(order)).unwrap();
        }
        assert_eq!(count_mails(&path).unwrap(), 4);
    }

    #[test]
    fn a_torn_mail_is_replaced_by_the_whole_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("orders.mbox");
        Mbox::new(&path).deliver(&mail("1")).unwrap();
        let whole = std::fs::read(&path).unwrap();
        Mbox::new(&path).deliver(&mail("2")).unwrap();
        let both = std::fs::read(&path).unwrap();
        for cut in whole.len()..both.len() {
            std::fs::write(&path, &both[..cut]).unwrap();
            Mbox::new(&path).deliver(&mail("2")).unwrap();
            assert_eq!(std::fs::read(&path).unwrap(), both, "cut after {cut} bytes");
        }
    }

    #[test]
    fn writers_side_by_side_leave_whole_mails_one_an_order() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("orders.mbox");
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let mbox = Mbox::new(&path);
                    (0..200).for_each(|order| mbox.deliver(&mail(&order.to_string())).unwrap());
                });
            }
        });
        assert_eq!(count_mails(&path).unwrap(), 200);
    }

    #[test]
    fn an_emptied_file_begins_anew() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("orders.mbox");
        let mbox = Mbox::new(&path);
        mbox.deliver(&mail("1")).unwrap();
        std::fs::write(&path, "").unwrap();
        mbox.deliver(&mail("1")).unwrap();
        assert_eq!(count_mails(&path).unwrap(), 1);
    }
}
