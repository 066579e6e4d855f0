//! Reads an mbox file: which mails it holds, and where the last whole one ends.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

/// Calls `each` with the Message-ID of every whole mail and returns how many bytes are whole: what follows them is the
/// beginning of a mail whose writer died. Where a mail has a `Content-Length`, it tells the end of the mail.
pub(super) fn scan(mut mbox: impl BufRead, mut each: impl FnMut(&str)) -> io::Result<u64> {
    let (mut whole_bytes, mut line) = (0, Vec::new());
    loop {
        let read = read_line(&mut mbox, &mut line)?;
        if read == 0 || !line.ends_with(b"\n") {
            return Ok(whole_bytes);
        }
        if !line.starts_with(b"From ") {
            // A blank line between mails, or the body of a mail that somebody else wrote.
            whole_bytes += read;
            continue;
        }
        let Some(headers) = read_headers(&mut mbox, &mut line)? else { return Ok(whole_bytes) };
        let mut mail_bytes = read + headers.bytes;
        if let Some(body_bytes) = headers.content_length {
            let skipped = io::copy(&mut mbox.by_ref().take(body_bytes), &mut io::sink())?;
            let end = read_line(&mut mbox, &mut line)?;
            if skipped < body_bytes || !line.ends_with(b"\n") {
                return Ok(whole_bytes);
            }
            mail_bytes += skipped + end;
        }
        whole_bytes += mail_bytes;
        if let Some(id) = headers.message_id {
            each(&id);
        }
    }
}

/// The mails in an mbox file; 0 where there is no file.
///
/// # Errors
/// Where the file cannot be read.
pub fn count_mails(path: &Path) -> io::Result<u64> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        Err(error) => return Err(error),
    };
    let mut mails = 0;
    scan(BufReader::new(file), |_| mails += 1)?;
    Ok(mails)
}

#[derive(Default)]
struct MailHeaders {
    bytes: u64,
    message_id: Option<String>,
    content_length: Option<u64>,
}

/// `None` where the file ends within the headers.
fn read_headers(mbox: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<Option<MailHeaders>> {
    let mut headers = MailHeaders::default();
    loop {
        let read = read_line(mbox, line)?;
        if !line.ends_with(b"\n") {
            return Ok(None);
        }
        headers.bytes += read;
        let text = String::from_utf8_lossy(line);
        match text.trim_end().split_once(':') {
            _ if text.trim_end().is_empty() => return Ok(Some(headers)),
            Some((name, value)) if name.eq_ignore_ascii_case("message-id") => {
                headers.message_id = Some(value.trim().to_owned());
            }
            Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                headers.content_length = value.trim().parse().ok();
            }
            _ => {}
        }
    }
}

fn read_line(mbox: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<u64> {
    line.clear();
    Ok(mbox.read_until(b'\n', line)? as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAIL: &str = "From a@b Wed Jan  1 00:00:00 1997\nMessage-ID: <1>\nContent-Length: 8\n\nHi\n\nyou\n\n";

    fn scanned(mbox: &str) -> (u64, Vec<String>) {
        let mut ids = Vec::new();
        let whole = scan(mbox.as_bytes(), |id| ids.push(id.to_owned())).unwrap();
        (whole, ids)
    }

    #[test]
    fn mails_are_found_and_the_whole_file_counts() {
        let two = MAIL.to_owned() + &MAIL.replace("<1>", "<2>");
        assert_eq!(scanned(&two), (two.len() as u64, vec!["<1>".to_owned(), "<2>".to_owned()]));
        assert_eq!(scanned(""), (0, vec![]));
    }

    #[test]
    fn wherever_a_mail_is_cut_the_mails_before_it_are_whole() {
        for cut in 0..MAIL.len() {
            let torn = MAIL.to_owned() + &MAIL.replace("<1>", "<2>")[..cut];
            assert_eq!(scanned(&torn), (MAIL.len() as u64, vec!["<1>".to_owned()]), "cut after {cut} bytes");
        }
    }

    #[test]
    fn a_mail_of_another_program_needs_no_content_length() {
        let foreign = "From x Wed Jan  1 00:00:00 1997\nSubject: s\nMessage-Id: <x>\n\nbody\n>From here\n\n";
        let both = foreign.to_owned() + MAIL;
        assert_eq!(scanned(&both), (both.len() as u64, vec!["<x>".to_owned(), "<1>".to_owned()]));
    }
}
